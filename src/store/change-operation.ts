/** What a change of the port is in rows of the database. */
import type { StoreChange } from '../feed/commit-store.ts'
import { encodeChecked } from './checked-row.ts'
import { encodeCommitRow } from './commit-row.ts'
import type { BatchOperation } from './database.ts'
import { feedKey, metaKey, placeKey } from './layout.ts'
import { encodeContext, encodeNamed } from './sealed-row.ts'
import type { RowSealer, SealedKind } from './sealed-row.ts'

/** @throws TypeError when the change makes no sense, before anything is written */
export function operationOf(change: StoreChange, sealer: RowSealer): BatchOperation {
  const sealed = (kind: SealedKind, key: Uint8Array, value: Uint8Array | undefined) =>
    valueOperation(key, value && sealer.seal(kind, key, value))
  switch (change.kind) {
    case 'commit': {
      const { commit } = change
      return valueOperation(placeKey('commit', commit), encodeCommitRow(commit))
    }
    case 'descriptor': {
      const { feed, bytes } = change.descriptor
      return checkedOperation(feedKey('descriptor', feed), bytes)
    }
    case 'chain':
      return checkedOperation(feedKey('chain', change.feed), change.value)
    case 'meta':
      return checkedOperation(metaKey(change.name), change.value)
    case 'secret': {
      const { name, value } = change
      return sealed('secret', sealer.secretKey(name), value && encodeNamed(name, value))
    }
    case 'record': {
      const { collection, id, value } = change
      return sealed('record', sealer.recordKey(collection, id), value)
    }
    case 'context': {
      const { id, value } = change
      return sealed('context', placeKey('context', change), value && encodeContext(id, value))
    }
    default:
      return change satisfies never
  }
}

export function checkedOperation(key: Uint8Array, value: Uint8Array | undefined): BatchOperation {
  return valueOperation(key, value && encodeChecked(key, value))
}

function valueOperation(key: Uint8Array, value: Uint8Array | undefined): BatchOperation {
  return value === undefined ? { type: 'del', key } : { type: 'put', key, value }
}
