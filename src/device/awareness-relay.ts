/**
 * Who is in a document, and where their cursors are: passed on between the editors of one record on this device. It is not written
 * anywhere, and does not travel to other devices.
 */
import { equalityDeep } from 'lib0/function'

/** What is needed of an `Awareness` of y-protocols. */
export interface AwarenessLike {
  readonly clientID: number
  readonly states: Map<number, Record<string, unknown>>
  readonly meta: Map<number, { clock: number; lastUpdated: number }>
  on(event: 'update', listener: AwarenessListener): unknown
  off(event: 'update', listener: AwarenessListener): unknown
  emit(event: 'change' | 'update', args: [AwarenessChanges, unknown]): unknown
}

export interface AwarenessChanges {
  added: number[]
  updated: number[]
  removed: number[]
}
type AwarenessListener = (changes: AwarenessChanges, origin: unknown) => void

export class AwarenessRelay {
  readonly #members = new Map<AwarenessLike, AwarenessListener>()

  join(member: AwarenessLike): void {
    const listener: AwarenessListener = ({ added, updated, removed }, origin) => {
      if (origin === this) return
      const clients = [...added, ...updated, ...removed]
      for (const other of this.#members.keys()) this.#tell(member, other, clients)
    }
    for (const other of this.#members.keys()) {
      this.#tell(other, member, [...other.states.keys()])
      this.#tell(member, other, [...member.states.keys()])
    }
    this.#members.set(member, listener)
    member.on('update', listener)
  }

  /** Each side forgets the other. */
  leave(member: AwarenessLike): void {
    const listener = this.#members.get(member)
    if (listener === undefined) return
    this.#members.delete(member)
    member.off('update', listener)
    for (const other of this.#members.keys()) {
      this.#forget(other, member.clientID)
      this.#forget(member, other.clientID)
    }
  }

  #forget(by: AwarenessLike, clientId: number): void {
    if (clientId === by.clientID || !by.states.delete(clientId)) return
    // So that it is news when it comes back.
    by.meta.delete(clientId)
    this.#emit(by, { added: [], updated: [], removed: [clientId] })
  }

  #tell(from: AwarenessLike, to: AwarenessLike, clients: readonly number[]): void {
    if (from === to) return
    const changes: AwarenessChanges = { added: [], updated: [], removed: [] }
    let isOther = false
    for (const clientId of clients) {
      const meta = from.meta.get(clientId)
      if (meta === undefined || clientId === to.clientID) continue
      const before = to.states.get(clientId)
      const known = to.meta.get(clientId)?.clock ?? -1
      const state = from.states.get(clientId)
      const isNews =
        known < meta.clock || (known === meta.clock && state === undefined && before !== undefined)
      if (!isNews) continue
      to.meta.set(clientId, { ...meta })
      if (state === undefined) to.states.delete(clientId)
      else to.states.set(clientId, state)
      if (state === undefined && before !== undefined) changes.removed.push(clientId)
      else if (state !== undefined)
        (before === undefined ? changes.added : changes.updated).push(clientId)
      isOther ||= !equalityDeep(before, state)
    }
    if (changes.added.length + changes.updated.length + changes.removed.length === 0) return
    this.#emit(to, changes, isOther)
  }

  #emit(to: AwarenessLike, changes: AwarenessChanges, isOther = true): void {
    if (isOther) to.emit('change', [changes, this])
    to.emit('update', [changes, this])
  }
}
