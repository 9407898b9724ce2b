/**
 * Live Yjs documents: `device.doc(collection, id)`.
 *
 * A document is a cache entry. What an application writes into it travels as the record's free update, under the free client id of this device's
 * routine feed; what arrives is applied to it.
 */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

import { HavenError } from '../core/errors.ts'
import { yjsClientId } from '../feed/descriptor.ts'
import { docUpdate } from '../records/doc.ts'
import { emptyRecord } from '../records/record-state.ts'
import type { RecordState } from '../records/record-state.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

interface LiveDoc {
  readonly doc: Y.Doc
  readonly collection: string
  readonly id: string
  clientId: number
  /** Edits that are not being written yet, and what the document held before each. */
  pending: { update: Uint8Array; before: ReadonlyMap<number, number> }[]
  writing: Promise<void> | undefined
}

/** Marks what came from the replica, so that it is not written again. */
const fromReplica = Symbol('havenmesh')

export class LiveDocs {
  readonly #runtime: MeshRuntime
  readonly #docs = new Map<string, Promise<LiveDoc>>()
  readonly #failed: (error: unknown) => void

  constructor(runtime: MeshRuntime, failed: (error: unknown) => void) {
    this.#runtime = runtime
    this.#failed = failed
    runtime.incarnationListeners.add(() => void this.#renew())
  }

  /** The device goes on in new feeds: so do the edits of open documents. */
  async #renew(): Promise<void> {
    try {
      for (const opening of this.#docs.values()) {
        const live = await opening
        live.clientId = await this.#clientId(live.collection)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  async open(name: string, id: string): Promise<Y.Doc> {
    const collection = this.#runtime.collectionId(name)
    const key = `${collection}/${id}`
    let opening = this.#docs.get(key)
    if (opening === undefined) {
      opening = this.#load(collection, id)
      this.#docs.set(key, opening)
      opening.catch(() => this.#docs.delete(key))
    }
    return (await opening).doc
  }

  async #load(collection: string, id: string): Promise<LiveDoc> {
    await this.#runtime.integrator.idle()
    const state = (await this.#state(collection, id)) ?? emptyRecord(id)
    const doc = new Y.Doc({ guid: `${collection}/${id}` })
    Y.applyUpdate(doc, docUpdate(state), fromReplica)
    const live: LiveDoc = {
      doc,
      collection,
      id,
      clientId: await this.#clientId(collection),
      pending: [],
      writing: undefined,
    }
    doc.clientID = live.clientId
    // Yjs draws another client id when it meets its own: it is set again before each local transaction.
    doc.on('beforeTransaction', (transaction: Y.Transaction) => {
      if (transaction.origin !== fromReplica) doc.clientID = live.clientId
    })
    doc.on('update', (update: Uint8Array, _: unknown, __: Y.Doc, transaction: Y.Transaction) => {
      if (transaction.origin === fromReplica) return
      live.pending.push({ update, before: new Map(transaction.beforeState) })
      live.writing ??= this.#writeAll(live)
    })
    doc.on('destroy', () => {
      this.#docs.delete(`${collection}/${id}`)
    })
    return live
  }

  async #state(collectionId: string, id: string): Promise<RecordState | undefined> {
    const collection = await this.#runtime.integrator.collection(collectionId)
    const state = await collection.state(id)
    return state && collection.settled(state)
  }

  async #clientId(collection: string): Promise<number> {
    return yjsClientId(await this.#runtime.routineFeed(collection), 'free')
  }

  async #writeAll(live: LiveDoc): Promise<void> {
    while (live.pending.length > 0) await this.#write(live)
    live.writing = undefined
  }

  async #write(live: LiveDoc): Promise<void> {
    try {
      while (live.pending.length > 0) {
        const group = live.pending.splice(0)
        const update = Y.mergeUpdates(group.map((each) => each.update))
        await this.#runtime.writer.write(live.collection, 'routine', [
          { id: live.id, free: () => ({ update, stateVector: baseOf(group, live.clientId) }) },
        ])
      }
    } catch (error) {
      this.#failed(
        error instanceof HavenError
          ? error
          : new HavenError('INTERNAL', 'An edit of a document could not be stored.', {
              cause: error,
            }),
      )
    }
  }

  /** Records have changed: what is open of them follows. */
  async changed(collection: string, ids: readonly string[]): Promise<void> {
    if (this.#docs.size === 0) return
    for (const id of ids) {
      const opening = this.#docs.get(`${collection}/${id}`)
      if (opening === undefined) continue
      const { doc } = await opening
      const state = await this.#state(collection, id)
      if (state !== undefined) Y.applyUpdate(doc, docUpdate(state), fromReplica)
    }
  }

  /** What was edited last is stored when it resolves. */
  async close(): Promise<void> {
    for (const opening of this.#docs.values()) {
      const live = await opening.catch(() => undefined)
      await live?.writing
      live?.doc.destroy()
    }
    this.#docs.clear()
  }
}

/** What several edits build on, together: of others what the last of them knew, of this device what was there before the first. */
function baseOf(
  group: readonly { readonly before: ReadonlyMap<number, number> }[],
  ownClient: number,
): Uint8Array {
  const base = new Map(group.at(-1)!.before)
  base.set(ownClient, group[0]!.before.get(ownClient) ?? 0)
  return stateVectorOf(base)
}

/** A state vector as Yjs encodes it. */
function stateVectorOf(clocks: ReadonlyMap<number, number>): Uint8Array {
  const encoder = encoding.createEncoder()
  const entries = [...clocks].filter(([, clock]) => clock > 0).toSorted(([a], [b]) => b - a)
  encoding.writeVarUint(encoder, entries.length)
  for (const [client, clock] of entries) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, clock)
  }
  return encoding.toUint8Array(encoder)
}
