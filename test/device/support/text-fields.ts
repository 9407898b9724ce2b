import type { Reading } from '../../../src/records/reading.ts'
import type { TestDevice } from './test-device.ts'

/** From now on until it restarts, the device takes these fields of a collection for texts. */
export async function readTexts(
  device: TestDevice,
  fields: readonly string[],
  name = 'records',
): Promise<void> {
  const collection = await device.collection(name)
  const before = collection.reading
  const reading: Reading = {
    ...before,
    ruleOf: (recordId, field) =>
      fields.includes(field)
        ? { strategy: 'text', rank: 'normal' }
        : before.ruleOf(recordId, field),
    deletePolicyOf: (recordId) => before.deletePolicyOf(recordId),
    textFieldsOf: () => fields,
    knows: (version) => before.knows(version),
    lensesOf: (recordId) => before.lensesOf(recordId),
  }
  Object.defineProperty(collection, 'reading', { value: reading, configurable: true })
}
