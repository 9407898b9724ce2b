/** Puts a backup back, into a place where there is nothing yet, so that the server is the same one again. */
import { bytesToHex } from '../../core/bytes.ts'
import { assert, HavenError } from '../../core/errors.ts'
import { incarnationAfter, incarnationName } from '../../device/own-feeds.ts'
import { systemRandom } from '../../device/system.ts'
import { FeedChain } from '../../feed/chain.ts'
import type { Link } from '../../feed/chain.ts'
import { decodeHeader } from '../../feed/commit.ts'
import type { StoreChange, StoredCommit } from '../../feed/commit-store.ts'
import { growChain } from '../../feed/grow-chain.ts'
import { unsealSecrets } from '../../store/keystore.ts'
import type { MeshStore } from '../../store/mesh-store.ts'
import { newServerHome } from '../new-server-home.ts'
import type { ServerPlace } from '../open-server-home.ts'
import type { ServerHome } from '../server-home.ts'
import { readServerSecrets } from '../server-secrets.ts'
import { readBackup } from './backup-contents.ts'
import type { BackupItem } from './backup-contents.ts'
import { openSecrets } from './part-kinds.ts'
import type { About, SealedMeshRows } from './part-kinds.ts'

export interface RestoreReport {
  /** When the backup was made. */
  readonly madeMs: number
  /** The server's device id. */
  readonly device: string
  readonly meshes: number
  readonly commits: number
  /** What was wrong with it, and is not restored. */
  readonly damages: readonly string[]
}

/**
 * @param options.salvage - restores what is whole of a damaged one
 * @throws HavenError `BACKUP_DAMAGED`, `PATH_UNREADABLE`, `KEYSTORE_UNREADABLE`, `ALREADY_SERVER` where there is something already; nothing is
 *   restored then
 */
export async function restoreBackup(
  place: ServerPlace,
  file: string,
  { salvage }: { readonly salvage: boolean },
): Promise<RestoreReport> {
  const secrets = await openKeys(file, place.passphrase, salvage)
  // Once through before anything is made.
  if (!salvage) await checkAll(file)
  const damages: string[] = []
  const options = { salvage, signatures: salvage, onDamage: (what: string) => damages.push(what) }
  const made = await newServerHome(place, secrets)
  try {
    const restoring = new Restoring(made.home)
    try {
      for await (const item of readBackup(file, options)) await restoring.take(item)
      await restoring.end()
    } finally {
      await restoring.close()
    }
    await made.complete()
    return { ...restoring.report(), damages }
  } catch (error) {
    await made.abandon()
    throw error
  }
}

export interface BackupCheck extends RestoreReport {
  /** Whether its keys could be opened; null: they need their passphrase, which was not given. */
  readonly keys: boolean | null
}

/** Checks all that can be checked without restoring. @throws HavenError `PATH_UNREADABLE`, `KEYSTORE_UNREADABLE` for another passphrase */
export async function checkBackup(
  file: string,
  passphrase: string | undefined,
): Promise<BackupCheck> {
  const damages: string[] = []
  const counts = { meshes: 0, commits: 0 }
  let about: About | undefined
  let storeKey: Uint8Array | undefined
  let keys: boolean | null = false
  const options = {
    salvage: true,
    signatures: true,
    onDamage: (what: string) => damages.push(what),
  }
  for await (const item of readBackup(file, options)) {
    if (item.kind === 'about') about = item.about
    else if (item.kind === 'keys') {
      const found = tryKeys(item.bytes, file, passphrase)
      keys = found === undefined ? null : true
      storeKey = found && readServerSecrets((name) => found.get(name), file).storeKey
    } else if (item.kind === 'mesh') {
      counts.meshes += 1
      if (storeKey !== undefined) openSecrets(item.rows, storeKey)
    } else if (item.kind === 'commits') counts.commits += item.commits.length
  }
  if (keys === false) damages.push('its keys are missing')
  return { madeMs: about?.madeMs ?? 0, device: about?.device ?? '', ...counts, damages, keys }
}

function tryKeys(bytes: Uint8Array, file: string, passphrase: string | undefined) {
  if (passphrase !== undefined) return unsealSecrets(bytes, file, passphrase)
  try {
    return unsealSecrets(bytes, file, undefined)
  } catch {
    return undefined
  }
}

/** @throws HavenError `BACKUP_DAMAGED`, `KEYSTORE_UNREADABLE` */
async function openKeys(file: string, passphrase: string | undefined, salvage: boolean) {
  const options = { salvage, signatures: false, onDamage: () => {} }
  for await (const item of readBackup(file, options))
    if (item.kind === 'keys') return unsealSecrets(item.bytes, file, passphrase)
  throw new HavenError(
    'BACKUP_DAMAGED',
    `The backup ${file} has no keys that are whole: nobody can be its server again. Use another one, or set a server up anew and add it to the meshes; devices bring what they have.`,
  )
}

async function checkAll(file: string): Promise<void> {
  const options = { salvage: false, signatures: true, onDamage: () => {} }
  for await (const _ of readBackup(file, options));
}

/** Items of a backup, in its order, on their way into a home. */
class Restoring {
  readonly #home: ServerHome
  #about: About = { madeMs: 0, device: '' }
  #rows: SealedMeshRows | undefined
  #store: MeshStore | undefined
  #chain: FeedChain | undefined
  /** Those of the chain that can be followed by what comes next. */
  #links: Link[] = []
  #meshes = 0
  #commits = 0

  constructor(home: ServerHome) {
    this.#home = home
  }

  async take(item: BackupItem): Promise<void> {
    switch (item.kind) {
      case 'about':
        this.#about = item.about
        return
      case 'keys':
        return
      case 'invitations':
        for (const { nonce, mesh } of item.used) await this.#home.bindInvitation(nonce, mesh)
        return
      case 'mesh':
        await this.end()
        this.#rows = item.rows
        await this.#home.addMesh(item.rows.mesh)
        this.#store = (await this.#home.openMesh(item.rows.mesh, () => {})).store
        return
      case 'feed':
        this.#chain = new FeedChain(item.descriptor.feed)
        this.#links = []
        await this.#put([{ kind: 'descriptor', descriptor: item.descriptor }])
        return
      case 'commits': {
        const { commits } = item
        const chain = this.#grow(commits)
        this.#commits += commits.length
        await this.#put([
          ...commits.map((commit) => ({ kind: 'commit' as const, commit })),
          { kind: 'chain', feed: chain.feed, value: chain.encode() },
        ])
        return
      }
    }
  }

  #grow(commits: readonly StoredCommit[]): FeedChain {
    assert(this.#chain !== undefined, 'commits come after their feed')
    const links = commits.map(linkOf)
    const { chain, left } = growChain(this.#chain, links, this.#links)
    assert(left.length === 0, 'a commit comes after the one that it follows')
    // Where the feed has forked, the way back to the fork tells the branches from each other. Elsewhere the next commit follows the last
    // one, or the one before it: what lies at one place may be more than a part of the file holds.
    const known = [...this.#links, ...links]
    this.#links = chain.forked ? known : known.slice(-2)
    this.#chain = chain
    return chain
  }

  /** The mesh that was last begun is all there. */
  async end(): Promise<void> {
    const [rows, store] = [this.#rows, this.#store]
    this.#rows = undefined
    this.#store = undefined
    this.#chain = undefined
    if (rows === undefined || store === undefined) return
    try {
      await store.batch(memberRows(rows, this.#home.secrets.storeKey))
    } finally {
      await store.close()
    }
    this.#meshes += 1
  }

  async close(): Promise<void> {
    await this.#store?.close()
  }

  report(): Pick<RestoreReport, 'madeMs' | 'device' | 'meshes' | 'commits'> {
    return { ...this.#about, meshes: this.#meshes, commits: this.#commits }
  }

  async #put(changes: readonly StoreChange[]): Promise<void> {
    // Durable with the rows of the mesh, which come last.
    await this.#store?.batch(changes, { sync: false })
  }
}

function linkOf({ seq, id, header }: StoredCommit): Link {
  return { seq, id: bytesToHex(id), prev: bytesToHex(decodeHeader(header).prev) }
}

/** By which the server is a member; it goes on as another incarnation, since what it said after the backup may be gone. */
function memberRows(rows: SealedMeshRows, storeKey: Uint8Array): StoreChange[] {
  return [
    ...openSecrets(rows, storeKey).map((row): StoreChange => ({ kind: 'secret', ...row })),
    ...rows.metas.map((row): StoreChange =>
      row.name === incarnationName
        ? incarnationAfter(row.value, systemRandom)
        : { kind: 'meta', ...row },
    ),
  ]
}
