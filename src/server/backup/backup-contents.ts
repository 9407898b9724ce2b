/** Reads a backup, and checks everything in it that can be checked: parts, their order, and each commit by its id, its chain and its signature. */
import { bytesToHex, equalBytes } from '../../core/bytes.ts'
import { HavenError, isHavenError } from '../../core/errors.ts'
import { verify } from '../../crypto/signing.ts'
import { commitSignDomain, decodeHeader } from '../../feed/commit.ts'
import type { StoredCommit } from '../../feed/commit-store.ts'
import { decodeDescriptor } from '../../feed/descriptor.ts'
import type { FeedDescriptor } from '../../feed/descriptor.ts'
import { readParts } from './part-file.ts'
import type { Part } from './part-file.ts'
import {
  partKinds,
  readAbout,
  readCommits,
  readEnd,
  readInvitations,
  readMesh,
  readMeshEnd,
} from './part-kinds.ts'
import type { About, SealedMeshRows, UsedInvitation } from './part-kinds.ts'
import { PrefixWalk } from './prefix-walk.ts'

/** What is in a backup, in the order of the file. */
export type BackupItem =
  | { readonly kind: 'about'; readonly about: About }
  | { readonly kind: 'keys'; readonly bytes: Uint8Array }
  | { readonly kind: 'invitations'; readonly used: readonly UsedInvitation[] }
  | { readonly kind: 'mesh'; readonly rows: SealedMeshRows }
  /** Of the mesh that was last begun; it may follow a feed of it. */
  | { readonly kind: 'feed'; readonly descriptor: FeedDescriptor }
  /** Of the feed that was last begun, in the order of seq; each follows one that came before. */
  | { readonly kind: 'commits'; readonly commits: readonly StoredCommit[] }

export interface ReadOptions {
  /** Goes on after what is damaged, with all that is whole; else it is refused. */
  readonly salvage: boolean
  /** False where the same file has been checked just before: signatures take their time. */
  readonly signatures: boolean
  /** Told what is wrong, in the order of the file. */
  readonly onDamage: (what: string) => void
}

/** More are counted, not told. */
const damagesTold = 20

/** @throws HavenError `BACKUP_DAMAGED`, `PATH_UNREADABLE`, `STORE_NEWER_VERSION` */
export async function* readBackup(path: string, options: ReadOptions): AsyncGenerator<BackupItem> {
  const reading = new BackupReading(path, options)
  for await (const part of readParts(path)) {
    if ('what' in part) {
      reading.damaged(`${part.what} (at byte ${part.at})`)
      continue
    }
    const item = reading.part(part)
    if (item !== undefined) yield item
  }
  reading.end()
}

class BackupReading {
  readonly #path: string
  readonly #options: ReadOptions
  #damages = 0
  #nextIndex = 0
  #isEnded = false
  #meshes = 0
  #mesh: string | undefined
  #feeds = 0
  #commits = 0
  #feed: FeedDescriptor | undefined
  #walk = new PrefixWalk()
  /** Not vouched for yet: a later commit of the feed is signed. */
  #unsigned: StoredCommit[] = []

  constructor(path: string, options: ReadOptions) {
    this.#path = path
    this.#options = options
  }

  part(part: Part): BackupItem | undefined {
    if (part.index !== this.#nextIndex) {
      this.damaged(`parts ${this.#nextIndex} to ${part.index - 1} are missing`)
      // What was between may have begun another feed, or another mesh.
      this.#feed = undefined
    }
    this.#nextIndex = part.index + 1
    try {
      return this.#read(part)
    } catch (error) {
      if (!isHavenError(error) || error.code === 'BACKUP_DAMAGED') throw error
      this.damaged(`part ${part.index}: ${error.message}`)
      return undefined
    }
  }

  end(): void {
    if (!this.#isEnded) this.damaged('the file is cut off: it has no end mark')
    const untold = this.#damages - damagesTold
    if (untold > 0) this.#options.onDamage(`and ${untold} more`)
  }

  /** @throws HavenError `BACKUP_DAMAGED` unless what is whole is wanted all the same */
  damaged(what: string): void {
    this.#damages += 1
    if (!this.#options.salvage)
      throw new HavenError(
        'BACKUP_DAMAGED',
        `The backup ${this.#path} is damaged: ${what}. Use another one; haven server restore --salvage takes what is whole of this one.`,
      )
    if (this.#damages <= damagesTold) this.#options.onDamage(what)
  }

  #read({ kind, payload, index }: Part): BackupItem | undefined {
    if (this.#isEnded) this.damaged(`part ${index} comes after the end`)
    switch (kind) {
      case partKinds.about:
        return { kind: 'about', about: readAbout(payload) }
      case partKinds.keys:
        return { kind: 'keys', bytes: payload }
      case partKinds.invitations:
        return { kind: 'invitations', used: readInvitations(payload) }
      case partKinds.mesh:
        return this.#beginMesh(readMesh(payload))
      case partKinds.feed:
        return this.#beginFeed(decodeDescriptor(payload))
      case partKinds.commits:
        return this.#takeCommits(readCommits(payload))
      case partKinds.meshEnd: {
        const { feeds, commits } = readMeshEnd(payload)
        if (feeds !== this.#feeds || commits !== this.#commits)
          this.damaged(
            `mesh ${this.#mesh ?? 'unknown'} has ${this.#commits} of ${commits} commits, in ${this.#feeds} of ${feeds} feeds`,
          )
        this.#mesh = undefined
        this.#feed = undefined
        return undefined
      }
      case partKinds.end: {
        this.#isEnded = true
        const meshes = readEnd(payload)
        if (meshes !== this.#meshes) this.damaged(`it has ${this.#meshes} of ${meshes} meshes`)
        return undefined
      }
      default:
        this.damaged(`part ${index} is of a kind that nobody knows`)
        return undefined
    }
  }

  #beginMesh(rows: SealedMeshRows): BackupItem {
    if (this.#mesh !== undefined) this.damaged(`the end of mesh ${this.#mesh} is missing`)
    this.#mesh = rows.mesh
    this.#meshes += 1
    this.#feeds = 0
    this.#commits = 0
    this.#feed = undefined
    return { kind: 'mesh', rows }
  }

  #beginFeed(descriptor: FeedDescriptor): BackupItem | undefined {
    this.#feed = undefined
    if (bytesToHex(descriptor.mesh) !== this.#mesh) {
      this.damaged(`feed ${descriptor.feed} stands where mesh ${this.#mesh ?? 'no'} is`)
      return undefined
    }
    this.#feed = descriptor
    this.#walk = new PrefixWalk()
    this.#unsigned = []
    this.#feeds += 1
    return { kind: 'feed', descriptor }
  }

  #takeCommits(commits: readonly StoredCommit[]): BackupItem | undefined {
    const feed = this.#feed
    if (feed === undefined) {
      this.damaged(`${commits.length} commits stand outside of a feed that is whole`)
      return undefined
    }
    const whole = commits.filter((commit) => this.#isWhole(commit, feed))
    if (whole.length < commits.length)
      this.damaged(
        `${commits.length - whole.length} commits of feed ${feed.feed} do not follow what is there, or are not what they say`,
      )
    this.#commits += whole.length
    const held = [...this.#unsigned, ...whole]
    const vouched = held.findLastIndex(({ signature }) => signature !== undefined) + 1
    // Nobody could be served what comes after the last signature.
    this.#unsigned = held.slice(vouched)
    return vouched === 0 ? undefined : { kind: 'commits', commits: held.slice(0, vouched) }
  }

  #isWhole(commit: StoredCommit, feed: FeedDescriptor): boolean {
    const header = decodeHeader(commit.header)
    const isOfFeed =
      commit.feed === feed.feed &&
      equalBytes(header.mesh, feed.mesh) &&
      equalBytes(header.collection, feed.collection)
    const { signature, id, seq } = commit
    const isSigned =
      signature === undefined ||
      !this.#options.signatures ||
      verify(feed.device, commitSignDomain, id, signature)
    if (!isOfFeed || !isSigned) return false
    return this.#walk.follows({ seq, id: bytesToHex(id), prev: bytesToHex(header.prev) })
  }
}
