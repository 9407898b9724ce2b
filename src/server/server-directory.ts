/** The directory of a server: its keys, its address, which codes were used for which mesh, and a store for each mesh. */
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { HavenError } from '../core/errors.ts'
import type { Random } from '../core/environment.ts'
import { prepareDataDirectory } from '../store/data-dir.ts'
import { replaceFile, syncDirectory } from '../store/durable-file.ts'
import { errorCodeOf, fileError } from '../store/file-errors.ts'
import { createKeystore, openKeystore } from '../store/keystore.ts'
import { makeDirectory } from '../store/make-directory.ts'
import { lockDirectory } from '../store/process-lock.ts'
import type { ProcessLock } from '../store/process-lock.ts'
import type { Damage } from '../store/damage.ts'
import { openLevelStore } from '../store/level-store.ts'
import { systemClock, systemTimers } from '../device/system.ts'
import { MemoryRequestBook } from './request-book.ts'
import type { RequestBook } from './request-book.ts'
import { StoredSentBytes } from './sent-bytes.ts'
import { removedMesh } from './server-home.ts'
import type { MeshShelf, ServerHome } from './server-home.ts'
import { newServerSecrets, readServerSecrets } from './server-secrets.ts'
import type { ServerSecrets } from './server-secrets.ts'
import { Usage } from './usage.ts'

const noServer = (path: string): HavenError =>
  new HavenError(
    'NOT_FOUND',
    `There is no server in ${path}. Run haven server there first, or give its directory with --data.`,
  )

export class ServerDirectory implements ServerHome {
  readonly isShared = false
  readonly path: string
  readonly secrets: ServerSecrets
  readonly requests: RequestBook = new MemoryRequestBook(() => systemClock.nowMs())
  readonly #lock: ProcessLock | undefined
  readonly #channelSecrets: readonly Uint8Array[]

  private constructor(
    path: string,
    secrets: ServerSecrets,
    lock: ProcessLock | undefined,
    channelSecrets: readonly Uint8Array[],
  ) {
    this.path = path
    this.secrets = secrets
    this.#lock = lock
    this.#channelSecrets = channelSecrets
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
      /** By who puts a backup back: nobody else may, until that is done. */
      readonly isRestoring?: boolean | undefined
    },
  ): Promise<ServerDirectory> {
    const { passphrase, random } = options
    const directory = await prepareDataDirectory(path)
    const lock = await lockDirectory(directory.lockFile, options.lockWaitMs)
    try {
      if (options.isRestoring !== true) await refuseHalfRestored(directory.path)
      if ((await openKeystore(directory.keysFile, { passphrase })) === undefined) {
        await createKeystore(directory.keysFile, newServerSecrets(random), { passphrase })
      }
      const secrets = await readSecrets(directory.path, directory.keysFile, passphrase)
      for (const name of ['meshes', 'invitations']) await makeDirectory(join(directory.path, name))
      // New at each start and nowhere written down: what was recorded of connections can't be opened by who takes the machine later.
      return new ServerDirectory(directory.path, secrets, lock, [random.bytes(32)])
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
    await refuseHalfRestored(path)
    const secrets = await readSecrets(path, join(path, 'keys'), passphrase)
    return new ServerDirectory(path, secrets, undefined, [])
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

  channelSecrets(): readonly Uint8Array[] {
    return this.#channelSecrets
  }

  /** Its directory is made when it is opened. */
  addMesh(): Promise<void> {
    return Promise.resolve()
  }

  async openMesh(mesh: string, onDamage: (damage: Damage) => void): Promise<MeshShelf> {
    const { storeKey } = this.secrets
    const store = await openLevelStore({ location: this.meshDirectory(mesh), storeKey, onDamage })
    try {
      const usage = await Usage.load(store)
      const sent = await StoredSentBytes.load(store, systemTimers)
      return { store: usage.metered(store), shared: undefined, usage, sent }
    } catch (error) {
      await store.close()
      throw error
    }
  }

  meshDirectory(mesh: string): string {
    return join(this.path, 'meshes', mesh)
  }

  /** The mesh that a code was used for. */
  async meshOfInvitation(nonce: string): Promise<string | undefined> {
    return (await readIfThere(join(this.path, 'invitations', nonce)))?.trim()
  }

  async bindInvitation(nonce: string, mesh: string): Promise<string> {
    const bound = await this.meshOfInvitation(nonce)
    if (bound !== undefined) return bound
    await replaceFile(join(this.path, 'invitations', nonce), Buffer.from(`${mesh}\n`))
    return mesh
  }

  async usedInvitations(): Promise<{ nonce: string; mesh: string }[]> {
    const nonces = await readdir(join(this.path, 'invitations'))
    const used: { nonce: string; mesh: string }[] = []
    for (const nonce of nonces.filter((name) => /^[0-9a-f]+$/.test(name))) {
      const mesh = await this.meshOfInvitation(nonce)
      if (mesh !== undefined) used.push({ nonce, mesh })
    }
    return used
  }

  async removeMesh(mesh: string): Promise<void> {
    if (!(await this.meshes()).includes(mesh)) throw noMesh(mesh)
    try {
      await removeDirectory(this.meshDirectory(mesh))
      for (const { nonce, mesh: bound } of await this.usedInvitations())
        if (bound === mesh)
          await replaceFile(join(this.path, 'invitations', nonce), Buffer.from(`${removedMesh}\n`))
    } catch (error) {
      throw await fileError(error, this.path)
    }
  }

  isReachable(): Promise<boolean> {
    return Promise.resolve(true)
  }

  close(): Promise<void> {
    this.#lock?.release()
    return Promise.resolve()
  }
}

function noMesh(mesh: string): HavenError {
  return new HavenError(
    'NOT_FOUND',
    `There is no mesh ${mesh} on this server. haven server meshes lists those that there are.`,
  )
}

/** Whole or not at all for who looks for it by its name; what an interrupted call left behind goes too. */
async function removeDirectory(path: string): Promise<void> {
  const beside = dirname(path)
  await rename(path, `${path}${removedSuffix}`)
  await syncDirectory(beside)
  for (const name of await readdir(beside))
    if (name.endsWith(removedSuffix)) await rm(join(beside, name), { recursive: true, force: true })
  await syncDirectory(beside)
}

const removedSuffix = '.removed'

/** Is there while a backup is being put back: what is there is not all yet. */
export const restoringFile = 'restoring'

async function refuseHalfRestored(path: string): Promise<void> {
  if ((await readIfThere(join(path, restoringFile))) === undefined) return
  throw new HavenError(
    'NOT_FOUND',
    `A restore into ${path} did not come to its end. Do it again: haven server restore FILE.`,
  )
}

async function readSecrets(
  path: string,
  keysFile: string,
  passphrase: string | undefined,
): Promise<ServerSecrets> {
  const keystore = await openKeystore(keysFile, { passphrase })
  if (keystore === undefined) throw noServer(path)
  return readServerSecrets((name) => keystore.get(name), path)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
