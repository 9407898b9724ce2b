/** A change of the port on its way into the tables. */
import { bytesToHex } from '../../core/bytes.ts'
import type { StoreChange, StoredCommit } from '../../feed/commit-store.ts'
import { operationOf } from '../change-operation.ts'
import type { RowSealer } from '../sealed-row.ts'

export type StoreOperation =
  | {
      readonly kind: 'commit'
      readonly key: Uint8Array
      readonly value: Uint8Array
      readonly commit: StoredCommit
    }
  /** Of a feed whose commits come in the same batch: what it says they make of the chain. */
  | {
      readonly kind: 'chain'
      readonly feed: string
      readonly key: Uint8Array
      readonly stated: Uint8Array | undefined
      /** Without commits of the feed in the batch: to be written as it is. */
      readonly asItIs: boolean
    }
  | {
      readonly kind: 'row'
      readonly key: Uint8Array
      readonly value: Uint8Array | undefined
      readonly order: number | null
      /** Of a row that others want to know. */
      readonly names?: { readonly as: 'descriptors' | 'metas'; readonly name: string } | undefined
      /** Of a descriptor. */
      readonly descriptor?: Uint8Array
    }

/** @throws TypeError when a change makes no sense */
export function storeOperations(
  changes: readonly StoreChange[],
  sealer: RowSealer,
): StoreOperation[] {
  const withCommits = new Set(
    changes.flatMap((change) => (change.kind === 'commit' ? [change.commit.feed] : [])),
  )
  return changes.map((change): StoreOperation => {
    const operation = operationOf(change, sealer)
    const { key } = operation
    const value = operation.type === 'put' ? operation.value : undefined
    switch (change.kind) {
      case 'commit':
        return { kind: 'commit', key, value: value!, commit: copied(change.commit) }
      case 'chain': {
        const { feed } = change
        const stated = change.value?.slice()
        return { kind: 'chain', feed, key, stated, asItIs: !withCommits.has(feed) }
      }
      case 'descriptor': {
        const { feed, bytes } = change.descriptor
        const names = { as: 'descriptors', name: feed } as const
        return { kind: 'row', key, value, order: null, names, descriptor: bytes.slice() }
      }
      case 'meta': {
        const names = { as: 'metas', name: change.name } as const
        return { kind: 'row', key, value, order: change.order ?? null, names }
      }
      case 'secret':
      case 'record':
      case 'context':
        return { kind: 'row', key, value, order: null }
      default:
        return change satisfies never
    }
  })
}

/** The caller may overwrite what it gave us. */
function copied(commit: StoredCommit): StoredCommit {
  return { ...commit, id: commit.id.slice(), header: commit.header.slice() }
}

export function placeName(feed: string, seq: number, shortId: Uint8Array): string {
  return `${feed} ${seq} ${bytesToHex(shortId)}`
}
