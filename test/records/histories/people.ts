/** Stories about a few people who write records on devices of their own, told in the words of the data model. */
import { writesFor, type Change as Wish } from '../../../src/records/changes.ts'
import type { Reading } from '../../../src/records/reading.ts'
import { versionOf, type RecordVersion } from '../../../src/records/record-version.ts'
import type { Conflict, RecordView } from '../../../src/records/visibility.ts'
import type { PlannedWrite } from '../../../src/records/writes.ts'
import { Replica, type Commit } from './simulated-replica.ts'
import { wardReading } from './ward.ts'

/** Everybody writes about the same patient. */
export const record = 'Patient/p1'

export class Person {
  readonly #name: string
  #replica: Replica
  #incarnation = 0

  constructor(name: string, reading: Reading = wardReading()) {
    this.#name = name
    this.#replica = new Replica(reading, { nowMs: 1000 })
  }

  get feed(): string {
    return Buffer.from(`${this.#name}${this.#incarnation}`.padEnd(16, '.')).toString('hex')
  }

  get replica(): Replica {
    return this.#replica
  }

  /** One commit. @param seen - what the form showed */
  wants(wishes: readonly Wish[], seen?: RecordVersion): Commit {
    return this.#write((view) => writesFor(view, wishes, { reading: this.#replica.reading, seen }))
  }

  put(field: string, value: string | undefined, seen?: RecordVersion): Commit {
    return this.wants([{ op: 'put', field, value }], seen)
  }

  add(field: string, value: string, seen?: RecordVersion): Commit {
    return this.wants([{ op: 'add', field, value }], seen)
  }

  remove(field: string, value: string, seen?: RecordVersion): Commit {
    return this.wants([{ op: 'remove', field, value }], seen)
  }

  count(field: string, delta: number, seen?: RecordVersion): Commit {
    return this.wants([{ op: 'count', field, delta }], seen)
  }

  deletes(seen?: RecordVersion): Commit {
    return this.wants([{ op: 'delete' }], seen)
  }

  restores(): Commit {
    return this.wants([{ op: 'restore' }])
  }

  /** Writes that no program of this version makes. */
  writes(...writes: readonly PlannedWrite[]): Commit {
    return this.#write(() => writes)
  }

  types(letters: string): Commit {
    const edit = (doc: {
      getText(name: string): { length: number; insert(at: number, text: string): void }
    }): void => {
      const text = doc.getText('note')
      text.insert(text.length, letters)
    }
    return this.#replica.write(this.feed, { records: new Map([[record, { plans: [], edit }]]) })
      .commit
  }

  /** All that the other one has, or only these commits. */
  hears(other: Person, only?: readonly Commit[]): void {
    for (const commit of only ?? other.#replica.commits.values()) this.#replica.receive(commit)
  }

  /** The device as it is now, to be put back later. */
  backup(): () => void {
    const backup = this.#replica.backup()
    return () => {
      this.#replica = this.#replica.restored(backup)
    }
  }

  /** Goes on in a new incarnation, as after a restore that it has heard of. */
  beginsAnew(): void {
    this.#incarnation++
  }

  get version(): RecordVersion {
    return versionOf(this.#replica.state(record))
  }

  get view(): RecordView {
    return this.#replica.view(record)
  }

  sees(field: string): string | undefined {
    return this.view.fields.get(field)
  }

  conflict(field: string): Conflict | undefined {
    return this.view.conflicts.find((each) => each.field === field)
  }

  /** Values in conflict, the greatest first. */
  disputes(field: string): (string | undefined)[] {
    return this.conflict(field)?.values.map(({ value }) => value) ?? []
  }

  #write(plan: (view: RecordView) => readonly PlannedWrite[]): Commit {
    const records = new Map([[record, { plans: [plan] }]])
    return this.#replica.write(this.feed, { records }).commit
  }
}

/** Everybody hears everything. */
export function meet(...people: readonly Person[]): void {
  for (const one of people) for (const other of people) if (one !== other) one.hears(other)
}
