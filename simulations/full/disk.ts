/** What is on the disk of a simulated device: the rows of a store, as maps. */
import type { StoreChange, StoredCommit, StoredDescriptor } from '../../src/feed/commit-store.ts'
import { bytesToHex } from '../../src/core/bytes.ts'

export interface ContextRow {
  readonly seq: number
  readonly id: Uint8Array
  readonly value: Uint8Array
}

export class Disk {
  readonly descriptors = new Map<string, StoredDescriptor>()
  readonly chains = new Map<string, Uint8Array>()
  readonly metas = new Map<string, Uint8Array>()
  readonly secrets = new Map<string, Uint8Array>()
  /** By collection and id. */
  readonly records = new Map<string, Map<string, Uint8Array>>()
  /** By feed; in the order of seq, branches beside each other. */
  readonly commits = new Map<string, StoredCommit[]>()
  readonly contexts = new Map<string, Map<string, ContextRow>>()
  commitCount = 0
  commitBytes = 0

  /** Rows are never changed in place, so a copy shares them. */
  copy(): Disk {
    const copy = new Disk()
    fill(copy.descriptors, this.descriptors)
    fill(copy.chains, this.chains)
    fill(copy.metas, this.metas)
    fill(copy.secrets, this.secrets)
    for (const [collection, rows] of this.records) copy.records.set(collection, new Map(rows))
    for (const [feed, rows] of this.commits) copy.commits.set(feed, [...rows])
    for (const [feed, rows] of this.contexts) copy.contexts.set(feed, new Map(rows))
    copy.commitCount = this.commitCount
    copy.commitBytes = this.commitBytes
    return copy
  }

  /** @returns takes the change back, as long as no later one has touched the same row */
  apply(change: StoreChange): () => void {
    switch (change.kind) {
      case 'descriptor':
        return put(this.descriptors, change.descriptor.feed, change.descriptor)
      case 'chain':
        return put(this.chains, change.feed, change.value)
      case 'meta':
        return put(this.metas, change.name, change.value)
      case 'secret':
        return put(this.secrets, change.name, change.value)
      case 'record':
        return put(mapOf(this.records, change.collection), change.id, change.value)
      case 'context': {
        const { feed, seq, id, value } = change
        const row = value === undefined ? undefined : { seq, id, value }
        return put(mapOf(this.contexts, feed), `${seq}/${bytesToHex(id)}`, row)
      }
      case 'commit':
        return this.#addCommit(change.commit)
      default:
        return change satisfies never
    }
  }

  #addCommit(commit: StoredCommit): () => void {
    let rows = this.commits.get(commit.feed)
    if (rows === undefined) this.commits.set(commit.feed, (rows = []))
    let at = rows.length
    while (at > 0 && isAfter(rows[at - 1]!, commit)) at--
    if (at > 0 && isSame(rows[at - 1]!, commit)) {
      const before = rows[at - 1]!
      rows[at - 1] = commit
      return () => {
        rows[at - 1] = before
      }
    }
    rows.splice(at, 0, commit)
    this.commitCount += 1
    this.commitBytes += commit.header.length + commit.ciphertext.length
    return () => {
      rows.splice(rows.indexOf(commit), 1)
      this.commitCount -= 1
      this.commitBytes -= commit.header.length + commit.ciphertext.length
    }
  }
}

function put<V>(map: Map<string, V>, key: string, value: V | undefined): () => void {
  const before = map.get(key)
  if (value === undefined) map.delete(key)
  else map.set(key, value)
  return () => {
    if (before === undefined) map.delete(key)
    else map.set(key, before)
  }
}

function mapOf<V>(maps: Map<string, Map<string, V>>, name: string): Map<string, V> {
  let map = maps.get(name)
  if (map === undefined) maps.set(name, (map = new Map()))
  return map
}

function fill<V>(target: Map<string, V>, source: ReadonlyMap<string, V>): void {
  for (const [key, value] of source) target.set(key, value)
}

function isAfter(a: StoredCommit, b: StoredCommit): boolean {
  return a.seq > b.seq || (a.seq === b.seq && Buffer.compare(a.id, b.id) > 0)
}

function isSame(a: StoredCommit, b: StoredCommit): boolean {
  return a.seq === b.seq && Buffer.compare(a.id, b.id) === 0
}
