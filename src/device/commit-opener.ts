/** From commits to the payloads in them: decrypted, put together where they go on over several commits, and read. */
import { bytesToHex } from '../core/bytes.ts'
import { isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Place } from '../feed/chain.ts'
import { commitKinds, decodeHeader } from '../feed/commit.ts'
import type { CommitHeader } from '../feed/commit.ts'
import type { CommitStore, StoredCommit } from '../feed/commit-store.ts'
import { openCiphertext, unpackPayload } from '../feed/seal.ts'
import type { FeedTable } from '../records/feed-table.ts'
import { decodePayload } from '../records/record-payload.ts'
import type { RecordPayload } from '../records/record-payload.ts'
import type { ControlPlane } from './control-plane.ts'

/** A payload, put together from its parts. */
export interface OpenedPayload {
  /** Of its last commit, which stands for the whole. */
  readonly seq: number
  readonly id: Uint8Array
  readonly header: CommitHeader
  readonly payload: RecordPayload
  /** The feeds that its feed has named, these of this payload included. */
  readonly table: FeedTable
}

export interface OpenedCommits {
  readonly payloads: readonly OpenedPayload[]
  /** The last commit that a payload ends with, whether it could be understood or not; undefined: not one was whole. */
  readonly end: (Place & { readonly table: FeedTable }) | undefined
  /** The commit after `end` waits for its key, or for an admin to announce its epoch. */
  readonly lacksKey: boolean
  /** Payloads that nobody can understand. */
  readonly malformed: readonly { readonly seq: number; readonly reason: string }[]
}

/** Commits are read from the store in pieces of this size: while one is worked out, nothing else is heard. */
export const readBytes = 256 * 1024

export class CommitOpener {
  readonly #store: CommitStore
  readonly #control: ControlPlane

  constructor({ store, control }: { store: CommitStore; control: ControlPlane }) {
    this.#store = store
    this.#control = control
  }

  /**
   * As many whole payloads as can be read.
   *
   * @param commits - that follow each other; what the last one goes on in is looked for in the store
   * @param table - what the feed had named before the first of them
   */
  async open(commits: readonly StoredCommit[], table: FeedTable): Promise<OpenedCommits> {
    const payloads: OpenedPayload[] = []
    const malformed: { seq: number; reason: string }[] = []
    const before = table
    let end: OpenedCommits['end']
    let lacksKey = false
    let parts: Uint8Array[] = []
    let partBytes = 0
    for (const [index, commit] of commits.entries()) {
      const header = decodeHeader(commit.header)
      const epochKey = this.#keyFor(header)
      if (epochKey === undefined) {
        lacksKey = true
        break
      }
      try {
        const part = openCommit(commit, header, epochKey)
        parts.push(part)
        partBytes += part.length
        if (partBytes > limits.updateBytes + limits.commitPlaintextBytes)
          throw new RangeError('too long')
        if (header.continued) {
          // The rest may lie behind what was read in one go.
          if (index === commits.length - 1) {
            const more = await this.#rest(commit)
            if (more.length > 0) return await this.open([...commits, ...more], before)
          }
          continue
        }
        const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
        if (header.kind === commitKinds.records) {
          const decoded = decodePayload(bytes, table)
          table = decoded.feeds
          payloads.push({ seq: commit.seq, id: commit.id, header, payload: decoded.payload, table })
        }
      } catch (error) {
        if (!isHavenError(error) && !(error instanceof RangeError)) throw error
        malformed.push({ seq: commit.seq, reason: error.message })
      }
      parts = []
      partBytes = 0
      end = { seq: commit.seq, id: bytesToHex(commit.id), table }
    }
    return { payloads, end, lacksKey, malformed }
  }

  /**
   * One payload by its last commit; undefined when that is not held, or can't be read.
   *
   * @param table - what the feed had named by then, or later
   * @param id - in a forked feed: which of the commits at that place
   */
  async openAt(
    feed: string,
    seq: number,
    table: FeedTable,
    id?: string,
  ): Promise<OpenedPayload | undefined> {
    const read = await this.#store.commits({ feed, after: seq - 1, upTo: seq })
    const last = id === undefined ? read[0] : read.find((one) => bytesToHex(one.id) === id)
    if (last === undefined) return undefined
    const commits = [last]
    for (let first = last; first.seq > 1;) {
      const before = await this.#store.commit(feed, first.seq - 1, decodeHeader(first.header).prev)
      if (before === undefined || !decodeHeader(before.header).continued) break
      commits.unshift(before)
      first = before
    }
    const { payloads } = await this.open(commits, table)
    return payloads.find((payload) => payload.seq === seq)
  }

  #keyFor({ epoch }: CommitHeader): Uint8Array | undefined {
    const id = bytesToHex(epoch)
    return this.#control.isAnnounced(id) ? this.#control.epochKey(id) : undefined
  }

  async #rest(last: StoredCommit): Promise<StoredCommit[]> {
    const more = await this.#store.commits({
      feed: last.feed,
      after: last.seq,
      maxBytes: readBytes,
    })
    return chainFrom(more, bytesToHex(last.id), undefined)
  }
}

/** @throws HavenError `BAD_SIGNATURE`, `MALFORMED` */
function openCommit(commit: StoredCommit, header: CommitHeader, epochKey: Uint8Array): Uint8Array {
  const place = { epochKey, salt: header.salt, feed: header.feed, seq: header.seq }
  return unpackPayload(openCiphertext(commit.ciphertext, place, commit.header))
}

/** The commits among these that follow each other from a place on; `first` picks the branch where several begin there. */
export function chainFrom(
  commits: readonly StoredCommit[],
  id: string,
  first: string | undefined,
): StoredCommit[] {
  const chain: StoredCommit[] = []
  let last = id
  let wanted = first
  for (const commit of commits) {
    const own = bytesToHex(commit.id)
    if (bytesToHex(decodeHeader(commit.header).prev) !== last) continue
    if (wanted !== undefined && own !== wanted) continue
    wanted = undefined
    chain.push(commit)
    last = own
  }
  return chain
}
