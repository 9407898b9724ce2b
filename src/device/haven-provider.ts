/** The provider for applications on Yjs: a document of theirs follows a record of a device. */
import { ObservableV2 } from 'lib0/observable'
import * as Y from 'yjs'

import { HavenError, isHavenError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Device } from './api.ts'
import type { AwarenessLike } from './awareness-relay.ts'
import { BoundDoc } from './bound-doc.ts'
import { documentsOf } from './documents-of.ts'
import type { LiveDocs } from './live-docs.ts'
import type { EditProblem } from './edit-queue.ts'
import { Mutex } from './mutex.ts'

export type ProviderStatus = 'connecting' | 'connected' | 'disconnected'

export interface HavenProviderEvents {
  /** `connected`: the document and the record follow each other. Says nothing about other devices. */
  status(event: { status: ProviderStatus }): void
  /** True: the document has what this device has, and what was typed can be stored. */
  sync(isSynced: boolean): void
  synced(isSynced: boolean): void
  /** Everything that was typed is durable. */
  saved(): void
  /**
   * The record can't be opened, or an edit can't be stored. With `refused` it is gone from the document, which shows the record again; otherwise
   * it is kept and tried again.
   */
  error(error: HavenError, detail: { refused: boolean }): void
}

export interface HavenProviderOptions {
  /** Of y-protocols. Its states reach other editors of the record on this device, not other devices. */
  awareness?: AwarenessLike | undefined
  /** False: `connect()` is called later. Default: true. */
  connect?: boolean | undefined
}

/**
 * Binds a document to the record `collection/id` of a device, by the conventions of y-websocket and y-indexeddb: it is both store and
 * network of the document, which needs no other provider.
 *
 * What the document holds before becomes an edit of this device. Wait for `whenSynced` before creating content that should be
 * there only once, and before keeping hold of types within types.
 */
export class HavenProvider extends ObservableV2<HavenProviderEvents> {
  readonly doc: Y.Doc
  readonly awareness: AwarenessLike | undefined
  readonly roomname: string
  /** Resolves with the provider when the record has been loaded for the first time. */
  readonly whenSynced: Promise<this>
  shouldConnect = false
  synced = false
  #status: ProviderStatus = 'disconnected'
  readonly #device: Device
  readonly #place: { readonly name: string; readonly id: string }
  readonly #bound: BoundDoc
  readonly #loaded = Promise.withResolvers<this>()
  /** Binding and unbinding, one after the other. */
  readonly #work = new Mutex()
  /** Why the record can't be opened. */
  #failure: ErrorCode | undefined
  #isTrying = false
  /** Where it is bound. */
  #docs: LiveDocs | undefined
  #isDestroyed = false
  readonly #unsubscribe: () => void
  readonly #docDestroyed = (): void => void this.destroy()

  /**
   * @param roomname - `collection/id`, such as `patients/Patient/anna`
   * @throws HavenError `USAGE`
   */
  constructor(
    device: Device,
    roomname: string,
    doc: Y.Doc,
    { awareness, connect = true }: HavenProviderOptions = {},
  ) {
    super()
    const slash = roomname.indexOf('/')
    if (slash <= 0 || slash === roomname.length - 1) {
      throw new HavenError('USAGE', 'A room is named collection/id, such as patients/Patient/anna.')
    }
    if (!(doc instanceof Y.Doc)) {
      throw new HavenError(
        'USAGE',
        'This document is of another copy of Yjs. `npm ls yjs` shows both: let the application depend on the same version.',
      )
    }
    this.#device = device
    this.roomname = roomname
    this.#place = { name: roomname.slice(0, slash), id: roomname.slice(slash + 1) }
    this.doc = doc
    this.awareness = awareness
    this.whenSynced = this.#loaded.promise
    this.#bound = new BoundDoc(doc, { origin: this, withFields: false })
    doc.on('destroy', this.#docDestroyed)
    // What kept it from being opened may be over.
    this.#unsubscribe = device.subscribe(() => {
      if (this.#failure !== undefined && !this.#isTrying) this.#open()
    })
    if (connect) this.connect()
  }

  get connected(): boolean {
    return this.#status === 'connected'
  }

  /** As {@link connected}, by the name that y-websocket gave it. */
  get wsconnected(): boolean {
    return this.connected
  }

  get wsconnecting(): boolean {
    return this.#status === 'connecting'
  }

  /** Edits of the record on this device that are not durable yet. */
  get unsavedChanges(): number {
    return this.#docs?.unsaved(this.#bound) ?? 0
  }

  connect(): void {
    if (this.#isDestroyed || this.shouldConnect) return
    this.shouldConnect = true
    this.#open()
  }

  /** What is typed from now on stays in the document, until {@link connect}. What was typed before is stored. */
  disconnect(): void {
    if (!this.shouldConnect) return
    this.shouldConnect = false
    this.#failure = undefined
    this.#close()
  }

  /** Resolves when what was typed is durable, or can't be made so now (see `error`). */
  async whenSaved(): Promise<void> {
    await this.#idle()
    await this.#docs?.settle(this.#bound)
  }

  /** Ends it; the document stays, and follows no longer. Resolves when what was typed is durable. */
  // oxlint-disable-next-line no-misused-promises -- who waits for nothing may ignore it, as with y-indexeddb
  override async destroy(): Promise<void> {
    if (!this.#isDestroyed) {
      this.#isDestroyed = true
      this.disconnect()
      this.#unsubscribe()
      this.doc.off('destroy', this.#docDestroyed)
    }
    await this.#idle()
    this.#bound.forget()
    super.destroy()
  }

  #idle(): Promise<void> {
    return this.#work.run(() => Promise.resolve())
  }

  /** One that fails again for the same reason says nothing. */
  #open(): void {
    if (this.#failure === undefined) this.#setStatus('connecting')
    this.#isTrying = true
    void this.#work.run(async () => {
      try {
        if (this.shouldConnect) await this.#bind()
      } catch (error) {
        const failure = asHavenError(error)
        const isKnown = this.#failure === failure.code
        this.#failure = failure.code
        this.#setStatus('disconnected')
        if (!isKnown) this.emit('error', [failure, { refused: false }])
      }
      this.#isTrying = false
    })
  }

  async #bind(): Promise<void> {
    const docs = documentsOf(this.#device)
    await docs.bind(this.#place, this.#bound, {
      problem: (problem) => {
        this.#told(problem)
      },
      saved: () => {
        this.#setSynced(true)
        this.emit('saved', [])
      },
      ended: () => {
        this.#ended()
      },
    })
    this.#docs = docs
    this.#failure = undefined
    this.#opened(docs)
  }

  #opened(docs: LiveDocs): void {
    if (!this.shouldConnect) return
    if (this.awareness !== undefined) docs.awarenessOf(this.#bound)?.join(this.awareness)
    this.#setStatus('connected')
    this.#setSynced(true)
    this.doc.emit('sync', [true, this.doc])
    this.#loaded.resolve(this)
  }

  #close(): void {
    const docs = this.#docs
    this.#docs = undefined
    if (this.awareness !== undefined) docs?.awarenessOf(this.#bound)?.leave(this.awareness)
    const unbound = docs?.unbind(this.#bound)
    void this.#work.run(async () => {
      // It may have been bound only just now.
      await unbound
      await this.#docs?.unbind(this.#bound)
      this.#docs = undefined
    })
    this.#setSynced(false)
    this.#setStatus('disconnected')
  }

  /** The device was closed, or the document destroyed. */
  #ended(): void {
    this.#docs = undefined
    this.shouldConnect = false
    this.#failure = undefined
    this.#setSynced(false)
    this.#setStatus('disconnected')
  }

  #told({ error, refused }: EditProblem): void {
    if (!refused) this.#setSynced(false)
    this.emit('error', [error, { refused }])
  }

  #setStatus(status: ProviderStatus): void {
    if (this.#status === status) return
    this.#status = status
    this.emit('status', [{ status }])
  }

  #setSynced(isSynced: boolean): void {
    if (this.synced === isSynced || (isSynced && !this.connected)) return
    this.synced = isSynced
    this.emit('synced', [isSynced])
    this.emit('sync', [isSynced])
  }
}

function asHavenError(error: unknown): HavenError {
  return isHavenError(error)
    ? error
    : new HavenError('INTERNAL', 'A record could not be opened as a document.', { cause: error })
}
