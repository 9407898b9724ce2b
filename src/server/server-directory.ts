/** The directory of a server: its keys, its address, which codes were used for which mesh, and a store for each mesh. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HavenError } from '../core/errors.ts'
import { DeviceKeys } from '../identity/device-key.ts'
import type { Random } from '../core/environment.ts'
import { prepareDataDirectory } from '../store/data-dir.ts'
import { replaceFile } from '../store/durable-file.ts'
import { errorCodeOf } from '../store/file-errors.ts'
import { createKeystore, openKeystore } from '../store/keystore.ts'
import { makeDirectory } from '../store/make-directory.ts'
import { lockDirectory } from '../store/process-lock.ts'
import type { ProcessLock } from '../store/process-lock.ts'

export interface ServerSecrets {
  readonly keys: DeviceKeys
  /** Seals the rows of all stores. */
  readonly storeKey: Uint8Array
  /** The secrets of codes follow from it. */
  readonly invitationKey: Uint8Array
}

const noServer = (path: string): HavenError =>
  new HavenError(
    'NOT_FOUND',
    `There is no server in ${path}. Run haven server there first, or give its directory with --data.`,
  )

export class ServerDirectory {
  readonly path: string
  readonly secrets: ServerSecrets
  readonly #lock: ProcessLock | undefined

  private constructor(path: string, secrets: ServerSecrets, lock: ProcessLock | undefined) {
    this.path = path
    this.secrets = secrets
    this.#lock = lock
  }

  /**
   * For the one process that serves from here; what is not there yet is made.
   *
   * @throws HavenError `STORE_BUSY`, `KEYSTORE_UNREADABLE`, `STORE_NOT_WRITABLE`, `DISK_FULL`, `USAGE` for a device's directory
   */
  static async open(
    path: string,
    options: {
      readonly passphrase: string | undefined
      readonly random: Random
      readonly lockWaitMs: number
    },
  ): Promise<ServerDirectory> {
    const { passphrase, random } = options
    const directory = await prepareDataDirectory(path)
    const lock = await lockDirectory(directory.lockFile, options.lockWaitMs)
    try {
      if ((await openKeystore(directory.keysFile, { passphrase })) === undefined) {
        const made = {
          [names.device]: DeviceKeys.generate(random).encode(),
          [names.store]: random.bytes(32),
          [names.invitations]: random.bytes(32),
        }
        await createKeystore(directory.keysFile, made, { passphrase })
      }
      const secrets = await readSecrets(directory.path, directory.keysFile, passphrase)
      for (const name of ['meshes', 'invitations']) await makeDirectory(join(directory.path, name))
      return new ServerDirectory(directory.path, secrets, lock)
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /**
   * For a command beside the server: nothing is made, nobody is locked out.
   *
   * @throws HavenError `NOT_FOUND`, `KEYSTORE_UNREADABLE`, `USAGE`
   */
  static async look(path: string, passphrase: string | undefined): Promise<ServerDirectory> {
    const secrets = await readSecrets(path, join(path, 'keys'), passphrase)
    return new ServerDirectory(path, secrets, undefined)
  }

  /** Where devices reach this server, as it last said. @throws HavenError `NOT_FOUND` */
  async address(): Promise<string> {
    const text = await readIfThere(join(this.path, 'address'))
    if (text === undefined) throw noServer(this.path)
    return text.trim()
  }

  async writeAddress(address: string): Promise<void> {
    await replaceFile(join(this.path, 'address'), Buffer.from(`${address}\n`))
  }

  /** Ids of the meshes that have a store here. */
  async meshes(): Promise<string[]> {
    const names = await readdir(join(this.path, 'meshes'))
    return names.filter((name) => /^[0-9a-f]{32}$/.test(name)).toSorted()
  }

  meshDirectory(mesh: string): string {
    return join(this.path, 'meshes', mesh)
  }

  /** The mesh that a code was used for. */
  async meshOfInvitation(nonce: string): Promise<string | undefined> {
    return (await readIfThere(join(this.path, 'invitations', nonce)))?.trim()
  }

  /** Durable when it resolves. */
  async bindInvitation(nonce: string, mesh: string): Promise<void> {
    await replaceFile(join(this.path, 'invitations', nonce), Buffer.from(`${mesh}\n`))
  }

  close(): void {
    this.#lock?.release()
  }
}

/** Other names than a device's, so that neither takes the other's directory for its own. */
const names = {
  device: 'server/device',
  store: 'server/store',
  invitations: 'server/invitations',
} as const

async function readSecrets(
  path: string,
  keysFile: string,
  passphrase: string | undefined,
): Promise<ServerSecrets> {
  const keystore = await openKeystore(keysFile, { passphrase })
  if (keystore === undefined) throw noServer(path)
  const device = keystore.get(names.device)
  const storeKey = keystore.get(names.store)
  const invitationKey = keystore.get(names.invitations)
  if (device === undefined || storeKey === undefined || invitationKey === undefined) {
    throw new HavenError(
      'USAGE',
      `In ${path} there is a device of a mesh. Give the server a directory of its own with --data.`,
    )
  }
  return { keys: DeviceKeys.decode(device), storeKey, invitationKey }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
