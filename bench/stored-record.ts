import { bytesToHex } from '../src/core/bytes.ts'
import { decodeDescriptor } from '../src/feed/descriptor.ts'
import { prepareDataDirectory } from '../src/store/data-dir.ts'
import { openKeystore } from '../src/store/keystore.ts'
import { openLevelStore } from '../src/store/level-store.ts'

/**
 * Bytes of plaintext that the store of a device keeps of one record, as `src/records/record-bytes.ts` writes them. No
 * process may have the store open.
 *
 * @param directory - as it is given to a device process
 */
export async function storedRecordBytes(directory: string, id: string): Promise<number> {
  const { path, keysFile } = await prepareDataDirectory(`${directory}/data`)
  const storeKey = (await openKeystore(keysFile, {}))?.get('store')
  if (storeKey === undefined) throw new Error('The device has no keys.')
  const store = await openLevelStore({ location: path, storeKey })
  try {
    const collections = new Set<string>()
    for (const { bytes } of await store.descriptors()) {
      collections.add(bytesToHex(decodeDescriptor(bytes).collection))
    }
    for (const collection of collections) {
      const bytes = await store.record(collection, id)
      if (bytes !== undefined) return bytes.length
    }
    throw new Error('The store does not have the record.')
  } finally {
    await store.close()
  }
}
