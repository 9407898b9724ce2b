/**
 * What Yjs offers no function for. It works on members of its documents and types that begin with `_`: to be looked at with each
 * new version of Yjs.
 */
/* oxlint-disable no-underscore-dangle */
import * as Y from 'yjs'
import { assert } from '../core/errors.ts'

const updateEvents = ['update', 'updateV2'] as const

type UpdateListener = (
  update: Uint8Array,
  origin: unknown,
  doc: Y.Doc,
  transaction: Y.Transaction,
) => void

/**
 * The document forgets all that it holds, ids included, and begins again with an update. For who observes its types, all goes away and comes
 * back. Types within types are other objects then.
 *
 * @param how.told - of those who listen for updates, the only one that hears of it
 * @param how.emptied - called when all has gone away
 */
export function beginAgain(
  doc: Y.Doc,
  update: Uint8Array,
  how: { readonly origin: unknown; readonly told: UpdateListener; readonly emptied: () => void },
): void {
  assert(doc._transaction === null, 'a document begins again between transactions')
  const others = updateEvents.map((name) => {
    const listeners = [...(doc._observers.get(name) ?? [])] as UpdateListener[]
    return [name, listeners.filter((listener) => listener !== how.told)] as const
  })
  for (const [name, listeners] of others) for (const each of listeners) doc.off(name, each)
  try {
    Y.transact(
      doc,
      (transaction) => {
        for (const type of doc.share.values()) deleteAllOf(type, transaction)
      },
      how.origin,
      false,
    )
    for (const type of doc.share.values()) {
      type._start = null
      type._map.clear()
      type._length = 0
      type._searchMarker?.splice(0)
    }
    doc.store.clients.clear()
    doc.store.pendingStructs = null
    doc.store.pendingDs = null
    how.emptied()
    Y.applyUpdate(doc, update, how.origin)
  } finally {
    for (const [name, listeners] of others) for (const each of listeners) doc.on(name, each)
  }
}

function deleteAllOf(type: Pick<Y.Text, '_start' | '_map'>, transaction: Y.Transaction): void {
  for (let item = type._start; item !== null; item = item.right) item.delete(transaction)
  for (const item of type._map.values()) item.delete(transaction)
}

/** How many listen to each event of a document: of this package, before any of an application. */
export type ObserverCounts = ReadonlyMap<string, number>

export function observerCounts(doc: Y.Doc): ObserverCounts {
  return new Map([...doc._observers].map(([name, observers]) => [name, observers.size]))
}

/** Whether somebody listens to the document, or to a type in it. */
export function isObserved(doc: Y.Doc, own: ObserverCounts): boolean {
  for (const [name, count] of observerCounts(doc)) if (count > (own.get(name) ?? 0)) return true
  const types = [...doc.share.values()]
  for (let type = types.pop(); type !== undefined; type = types.pop()) {
    if (type._eH.l.length > 0 || type._dEH.l.length > 0) return true
    const items = [...type._map.values()]
    for (let item = type._start; item !== null; item = item.right) items.push(item)
    for (const { content } of items) if (content instanceof Y.ContentType) types.push(content.type)
  }
  return false
}
