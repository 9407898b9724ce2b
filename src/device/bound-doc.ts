/**
 * A Yjs document that follows a record: what is typed into it gets the client id of this device's feed, so that it has one name
 * everywhere.
 */
import * as Y from 'yjs'
import { beginAgain } from './yjs-internals.ts'

/** What a document is bound to: see LiveRecord. */
export interface DocRoom {
  /** The client id for what is about to be typed. */
  clientFor(bound: BoundDoc): number
  /** @param foreign - it came into the document from elsewhere, under ids of others */
  edited(bound: BoundDoc, update: Uint8Array, foreign: boolean): void
  /** What came from elsewhere waits for structs under these client ids, which the document does not have. */
  stuck(clientIds: Iterable<number>): void
  /** The document is destroyed, or nobody holds it any more. */
  gone(bound: BoundDoc): void
}

/** What the document held when it was unbound: what it lacks and what is new in it can be told when it is bound again. */
export interface Parting {
  readonly clientId: number
  readonly nextClock: number
  readonly clocks: ReadonlyMap<number, number>
}

export class BoundDoc {
  /** Of every transaction that brings what others did. */
  readonly origin: unknown
  /** Whether the writers' arrays of fields stand in it. */
  readonly withFields: boolean
  readonly #doc: WeakRef<Y.Doc>
  /** Undefined: it stays only as long as the application holds it. */
  #held: Y.Doc | undefined
  #room: DocRoom | undefined
  #parting: Parting | undefined
  /** The document's own client id, while it has ours. */
  #ownClientId: number | undefined
  #applying = 0
  /** All is being taken out, to begin again: what observers do then goes too. */
  #isVanishing = false

  constructor(doc: Y.Doc, { origin, withFields }: { origin: unknown; withFields: boolean }) {
    this.#doc = new WeakRef(doc)
    this.#held = doc
    this.origin = origin
    this.withFields = withFields
    doc.on('beforeTransaction', this.#begins)
    doc.on('beforeObserverCalls', this.#made)
    doc.on('afterTransaction', this.#observed)
    doc.on('update', this.#updated)
    doc.on('destroy', this.#destroyed)
  }

  /** Undefined: nobody held it any more. */
  get doc(): Y.Doc | undefined {
    return this.#held ?? this.#doc.deref()
  }

  get parting(): Parting | undefined {
    return this.#parting
  }

  hold(): void {
    this.#held = this.#doc.deref()
  }

  release(): void {
    this.#held = undefined
  }

  join(room: DocRoom): void {
    this.#room = room
    this.#parting = undefined
  }

  leave(parting: Parting | undefined): void {
    this.#room = undefined
    this.#parting = parting
  }

  /** The document is an ordinary one again. */
  forget(): void {
    this.#room = undefined
    const { doc } = this
    doc?.off('beforeTransaction', this.#begins)
    doc?.off('beforeObserverCalls', this.#made)
    doc?.off('afterTransaction', this.#observed)
    doc?.off('update', this.#updated)
    doc?.off('destroy', this.#destroyed)
    this.#held = undefined
  }

  /** Brings in what others did. */
  apply(update: Uint8Array): void {
    const { doc } = this
    if (doc === undefined) return
    this.#applying++
    try {
      Y.applyUpdate(doc, update, this.origin)
    } finally {
      this.#applying--
    }
  }

  /**
   * The document begins again, with this. For who looks at it, all goes away and comes back; types within types are other objects then.
   * Other listeners for updates are told nothing: what they hold has other ids.
   */
  reset(update: Uint8Array): void {
    const { doc } = this
    if (doc === undefined) return
    this.#applying++
    this.#isVanishing = true
    try {
      beginAgain(doc, update, {
        origin: this.origin,
        told: this.#updated,
        emptied: () => {
          this.#isVanishing = false
        },
      })
    } finally {
      this.#isVanishing = false
      this.#applying--
    }
  }

  // None of these may keep hold of the document, which would then live as long as this.

  readonly #begins = (transaction: Y.Transaction, doc: Y.Doc): void => {
    if (!transaction.local) return
    const clientId = this.#room?.clientFor(this) ?? this.#parting?.clientId
    if (clientId === undefined) return
    this.#ownClientId ??= doc.clientID
    doc.clientID = clientId
  }

  readonly #made = (_: Y.Transaction, doc: Y.Doc): void => {
    this.#giveBackClientId(doc)
  }

  readonly #observed = (transaction: Y.Transaction, doc: Y.Doc): void => {
    // An observer may have changed something as well: the end of that is still to come.
    this.#giveBackClientId(doc)
    if (this.#applying > 0 && isFormatCleanup(transaction)) transaction.meta.set(this, 'cleanup')
    const { pendingStructs } = doc.store
    if (!transaction.local && transaction.origin !== this.origin && pendingStructs !== null) {
      this.#room?.stuck(pendingStructs.missing.keys())
    }
  }

  readonly #updated = (
    update: Uint8Array,
    origin: unknown,
    _: Y.Doc,
    transaction: Y.Transaction,
  ): void => {
    if (this.#isVanishing || transaction.meta.get(this) === 'cleanup') return
    if (!transaction.local && origin === this.origin) return
    this.#room?.edited(this, update, !transaction.local)
  }

  readonly #destroyed = (): void => {
    this.#room?.gone(this)
  }

  /** Only structs need ours; awareness and whoever else asks finds the document's own. */
  #giveBackClientId(doc: Y.Doc): void {
    if (this.#ownClientId !== undefined) doc.clientID = this.#ownClientId
    this.#ownClientId = undefined
  }
}

/** After what others did, each replica takes formats away that have no letters left: that is no edit. */
function isFormatCleanup(transaction: Y.Transaction): boolean {
  if (!transaction.local || transaction.deleteSet.clients.size === 0) return false
  for (const [client, clock] of transaction.afterState) {
    if ((transaction.beforeState.get(client) ?? 0) !== clock) return false
  }
  let onlyFormats = true
  Y.iterateDeletedStructs(transaction, transaction.deleteSet, (struct) => {
    if (!(struct instanceof Y.Item) || !(struct.content instanceof Y.ContentFormat)) {
      onlyFormats = false
    }
  })
  return onlyFormats
}
