/** Random histories of a few devices that write, meet, lose their way and come back, and the truth about them. */
import type * as Y from 'yjs'
import type { HybridTime } from '../../../src/core/hybrid-time.ts'
import { isHavenError } from '../../../src/core/errors.ts'
import { writesFor, type Change as Wish } from '../../../src/records/changes.ts'
import { encodeFieldsUpdate } from '../../../src/records/fields-update.ts'
import type { Reading } from '../../../src/records/reading.ts'
import type { RecordPayload } from '../../../src/records/record-payload.ts'
import { versionOf, type RecordVersion } from '../../../src/records/record-version.ts'
import type { RecordView } from '../../../src/records/visibility.ts'
import type { PlannedWrite } from '../../../src/records/writes.ts'
import {
  placeName,
  type TrueChange,
  type TrueCommit,
  type TrueEdit,
} from '../../../simulations/checks/truth.ts'
import { Chance } from '../../sync/support/chance.ts'
import type { DatedCommit } from './expected.ts'
import { clientsOf, noCommit, Replica, writerNames } from './simulated-replica.ts'
import type { Backup, Change, Commit } from './simulated-replica.ts'
import { fieldNames, records, wardReading } from './ward.ts'
import { Wishes } from './wishes.ts'

export interface History {
  readonly commits: readonly Commit[]
  readonly truths: ReadonlyMap<string, TrueCommit>
  /** The truth about some commits, with the names that writers have where just these are held. */
  readonly dated: (commits: readonly Commit[]) => DatedCommit[]
  /** Whether its updates were made so that nobody may accept them. */
  readonly isSpoilt: (commit: Commit) => boolean
  /** Of the schema that a commit was written by. */
  readonly versionOf: (id: string) => number
  readonly touches: (commit: Commit, record: string) => boolean
  readonly devices: readonly Device[]
  readonly reading: Reading
  /** For what is to be done with it: other numbers than those that made it. */
  readonly chance: Chance
}

export interface Device {
  replica: Replica
  /** The routine lane and the urgent one, of the present incarnation. */
  readonly feeds: string[]
  readonly skewMs: number
  backup: Backup | undefined
  /** By record: what forms that are open show. */
  readonly forms: Map<string, RecordVersion>
}

export interface HistoryOptions {
  readonly steps?: number
  /** Called whenever a device has written or received. */
  readonly onStep?: (device: Device, truths: ReadonlyMap<string, TrueCommit>) => void
  readonly readings?: readonly Reading[]
  readonly names?: readonly string[]
  /** Whether some authors break the rules. */
  readonly honest?: boolean
  /** Whether devices are put back to backups of theirs. */
  readonly restores?: boolean
  /** Whether fields are written by any ops, as by devices with other schemas and of newer versions. */
  readonly mixes?: boolean
  /** Other wishes than those about the fields of the ward; nobody settles anything then. */
  readonly wishes?: (reading: Reading, chance: Chance) => (view: RecordView) => Wish[]
}

const yearMs = 365 * 24 * 60 * 60 * 1000
const startMs = 56 * yearMs

export function randomHistory(seed: number, options: HistoryOptions = {}): History {
  const chance = new Chance(seed)
  const { steps = 30, onStep } = options
  const readings = options.readings ?? [wardReading(chance.chance(0.5) ? 'confirm' : 'resurrect')]
  const devices = Array.from({ length: chance.pick([2, 3, 4]) }, (_, i): Device => {
    const skewMs = chance.chance(0.3) ? chance.pick([-60 * yearMs, 74 * yearMs, -10, 10, 0]) : 0
    const how = { nowMs: startMs + skewMs, storesBytes: chance.chance(0.3) }
    return {
      replica: new Replica(chance.pick(readings), how),
      feeds: [0, 1].map((lane) => `${i}${lane}`.repeat(16)),
      skewMs,
      backup: undefined,
      forms: new Map(),
    }
  })
  const player = new Player(chance, devices, options)
  for (let step = 0; step < steps; step++) {
    const device = chance.pick(devices)
    device.replica.nowMs = startMs + device.skewMs + step * chance.pick([0, 1, 1000])
    player.step(device)
    onStep?.(device, player.truths)
  }
  return {
    commits: player.commits,
    truths: player.truths,
    dated: (commits) => {
      const names = writerNames(commits)
      return commits.map(({ id, prev }) => ({
        ...player.truths.get(id)!,
        prev,
        writer: names.get(id)!,
        time: player.times.get(id)!,
      }))
    },
    versionOf: (id) => player.versions.get(id)!,
    touches: ({ id }, record) => player.touched.get(id)!.has(record),
    isSpoilt: ({ id }) => player.spoilt.has(id),
    devices,
    reading: readings[0]!,
    chance: new Chance(seed ^ 0x5eed),
  }
}

/** A replica that holds these, in this order. */
export function replicaOf(commits: readonly Commit[], reading: Reading, nowMs = startMs): Replica {
  const replica = new Replica(reading, { nowMs })
  for (const commit of commits) replica.receive(commit)
  return replica
}

/** All in any order in which each comes after its predecessor. */
export function interleaved(commits: readonly Commit[], chance: Chance): Commit[] {
  const rest = chance.shuffled(commits)
  const done = new Set([noCommit])
  const ordered: Commit[] = []
  while (rest.length > 0) {
    const [next] = rest.splice(
      rest.findIndex(({ prev }) => done.has(prev)),
      1,
    )
    ordered.push(next!)
    done.add(next!.id)
  }
  return ordered
}

class Player {
  readonly commits: Commit[] = []
  readonly truths = new Map<string, TrueCommit>()
  readonly spoilt = new Set<string>()
  readonly versions = new Map<string, number>()
  /** Records by commit. */
  readonly touched = new Map<string, ReadonlySet<string>>()
  readonly times = new Map<string, HybridTime>()
  readonly #chance: Chance
  readonly #devices: readonly Device[]
  readonly #options: HistoryOptions
  readonly #names: readonly string[]
  /** Some meet often and some hardly ever, and so on. */
  readonly #manner: {
    readonly writing: number
    readonly chains: number
  }
  readonly #wishes: Wishes
  #unique = 0

  constructor(chance: Chance, devices: readonly Device[], options: HistoryOptions) {
    this.#chance = chance
    this.#devices = devices
    this.#options = options
    this.#manner = {
      writing: chance.pick([30, 45, 60]),
      chains: chance.pick([1, 3, 100]),
    }
    // Few fields meet more often.
    const all = options.names ?? fieldNames
    this.#names = chance.shuffled(all).slice(0, chance.int(1, all.length))
    const deleting = chance.pick([0, 0.05, 0.2, 0.5])
    this.#wishes = new Wishes(chance, { names: this.#names, deleting })
  }

  step(device: Device): void {
    const choice = this.#chance.int(0, 99)
    if (choice < this.#manner.writing) this.#write(device)
    else if (choice < 83) this.#meet(device, this.#chance.pick(this.#devices), this.#manner.chains)
    else if (choice < 88) this.#openForm(device)
    else if (choice < 92) device.backup = device.replica.backup()
    else if (choice < 96 && device.backup !== undefined && this.#options.restores !== false) {
      device.replica = device.replica.restored(device.backup)
    } else if (choice < 98) this.#newIncarnation(device, this.#chance.int(0, 1))
  }

  #openForm(device: Device): void {
    const record = this.#chance.pick(records)
    device.forms.set(record, versionOf(device.replica.state(record)))
  }

  /** Some chains of what the other one has. */
  #meet(device: Device, other: Device, times: number): void {
    for (let i = 0; i < times; i++) {
      const { replica } = device
      const missing = [...other.replica.commits.values()].filter(
        ({ id }) => !replica.commits.has(id),
      )
      if (missing.length === 0) return
      const chain: Commit[] = []
      for (
        let next: Commit | undefined = this.#chance.pick(missing);
        next !== undefined && !replica.commits.has(next.id);
        next = other.replica.commits.get(next.prev)
      ) {
        chain.push(next)
      }
      for (const commit of chain.toReversed()) replica.receive(commit)
    }
  }

  #newIncarnation(device: Device, lane: number): void {
    device.feeds[lane] = `f${(this.#unique++).toString(16).padStart(7, '0')}`.repeat(4)
  }

  #write(device: Device): void {
    const { replica } = device
    const lane = this.#chance.chance(0.7) ? 0 : 1
    // Once a device learns that it was restored, it goes on as a new incarnation; not every one at once.
    let isBranch = replica.holdsOtherBranch(device.feeds[lane]!)
    if (isBranch && (!replica.isTip(device.feeds[lane]!) || this.#chance.chance(0.7))) {
      this.#newIncarnation(device, lane)
      isBranch = false
    }
    const feed = device.feeds[lane]!
    const link = this.#chance.chance(0.06)
    const changes = new Map<string, Change>()
    const edits = new Map<string, TrueEdit[]>()
    for (const record of records) {
      if (!link && this.#chance.chance(0.3)) continue
      // Documents show a branch by another client id than the one that it writes by.
      const edit = !isBranch && this.#names.includes('note') && this.#chance.chance(0.2)
      const plans = edit && this.#chance.chance(0.7) ? [] : [...this.#plans(device, feed, record)]
      if (link) plans.push(linkPlan(record, this.#chance.chance(0.7) ? 'add' : 'remove'))
      changes.set(record, { plans, edit: edit ? this.#edit(record, edits) : undefined })
    }
    if (changes.size === 0) return
    const held = new Set<string>()
    for (const id of replica.commits.keys()) {
      held.add(id)
      for (const earlier of this.truths.get(id)!.held) held.add(earlier)
    }
    const spoils = this.#options.honest !== true && this.#chance.chance(0.04)
    const { commit, planned, time } = replica.write(feed, {
      records: changes,
      mischief: (payload) => {
        if (this.#options.honest === true) return payload
        const liar = this.#chance.chance(0.12) ? this.#withLies(payload) : payload
        return spoils ? this.#withSpoiltUpdates(liar) : liar
      },
    })
    const truth = new Map<string, TrueChange>()
    for (const [record, writes] of spoils ? [] : planned) {
      truth.set(record, { writes: writes.map(trueWrite), edits: edits.get(record) ?? [] })
    }
    // A device that was put back may write just the same again. A real commit has chance in it.
    if (this.truths.has(commit.id)) return
    this.commits.push(commit)
    this.times.set(commit.id, time)
    this.versions.set(commit.id, replica.reading.version)
    this.touched.set(commit.id, new Set(planned.keys()))
    if (spoils && planned.size > 0) this.spoilt.add(commit.id)
    this.truths.set(commit.id, { ...commit, held, changes: truth })
  }

  #plans(device: Device, feed: string, record: string): Change['plans'] {
    const seen = this.#chance.chance(0.35) ? device.forms.get(record) : undefined
    // What stood beside it in the same commit could not be named as unseen.
    const callers = seen === undefined ? this.#chance.pick([1, 1, 1, 2, 3]) : 1
    const isAlone = callers === 1
    return Array.from({ length: callers }, () =>
      this.#plan(device, { feed, record, seen, isAlone }),
    )
  }

  /** What one caller wants: mostly what a program of this version would write. */
  #plan(
    { replica }: Device,
    by: { feed: string; record: string; seen: RecordVersion | undefined; isAlone: boolean },
  ): Change['plans'][number] {
    const chance = this.#chance
    const { feed, record, seen, isAlone } = by
    const { wishes } = this.#options
    const { reading } = replica
    return (view) => {
      try {
        if (wishes === undefined && chance.chance(0.12))
          return this.#wishes.resolution(view, reading)
        if (this.#options.mixes !== false && chance.chance(0.2)) {
          const named = replica.feedsNamedBy(feed)
          const { live } = replica.view(record)
          return this.#wishes.anything([
            ...(isAlone ? live.filter((one) => named.indexOf(one.feed) !== undefined) : []),
            // What is being written, which changes nothing.
            { feed, seq: replica.nextSeq(feed) },
          ])
        }
        return writesFor(view, this.#wanted(reading, view), { reading, seen })
      } catch (error) {
        // What nobody is allowed to ask for, nobody writes.
        if (isHavenError(error)) return []
        throw error
      }
    }
  }

  #wanted(reading: Reading, view: RecordView): Wish[] {
    const { wishes } = this.#options
    return wishes === undefined ? this.#wishes.wishes(view) : wishes(reading, this.#chance)(view)
  }

  /** Letters that nobody else types. */
  #edit(record: string, edits: Map<string, TrueEdit[]>): (doc: Y.Doc) => void {
    const chance = this.#chance
    return (doc) => {
      const text = doc.getText('note')
      const at = chance.int(0, text.length)
      const inserted = String.fromCharCode(0x4e00 + this.#unique++, 0x4e00 + this.#unique++)
      const count = chance.chance(0.3) ? Math.min(chance.int(1, 3), text.length - at) : 0
      const deleted = text.toJSON().slice(at, at + count)
      text.delete(at, count)
      text.insert(at, inserted)
      edits.set(record, [{ field: 'note', inserted, deleted }])
    }
  }

  /** Entries about places that are not there, or that hold something else. */
  #withLies(payload: RecordPayload): RecordPayload {
    const chance = this.#chance
    const lies = [0, 1].map(() => {
      const commit = this.commits.length === 0 ? undefined : chance.pick(this.commits)
      return {
        feed: chance.chance(0.7) && commit !== undefined ? commit.feed : 'ee'.repeat(16),
        seq: chance.pick([1, commit?.seq ?? 2, 1000, Number.MAX_SAFE_INTEGER]),
        id: Uint8Array.of(0xbb, ...chance.bytes(3)),
      }
    })
    return { ...payload, context: [...payload.context, ...lies] }
  }

  /** Updates that would change what others wrote, or nothing at all. */
  #withSpoiltUpdates(payload: RecordPayload): RecordPayload {
    const chance = this.#chance
    const victim = clientsOf('00'.repeat(16))
    const put = { field: 'last', op: 'put', value: '"spoilt"' }
    const spoilt = (): Uint8Array =>
      chance.pick([
        chance.bytes(chance.int(1, 40)),
        encodeFieldsUpdate(victim.clientId + 7, 3, { writes: [put], deletedClocks: [] }),
        encodeFieldsUpdate(victim.clientId + 7, 0, { writes: [], deletedClocks: [0, 1, 2] }),
      ])
    return {
      ...payload,
      records: payload.records.map(({ id, back, fields, free }) => ({
        id,
        back,
        ...(fields !== undefined && { fields: spoilt() }),
        ...(free !== undefined && { free: { ...free, update: chance.bytes(12) } }),
      })),
    }
  }
}

/** Both records of a link say so. */
function linkPlan(record: string, op: 'add' | 'remove'): Change['plans'][number] {
  const other = records.find((each) => each !== record)!
  return () => [{ field: '~same', op, value: JSON.stringify(other) }]
}

function trueWrite({ field, op, value, unseen = [] }: PlannedWrite): TrueChange['writes'][number] {
  // What was counted is not undone by not having been seen.
  return { field, op, value, unseen: unseen.map(({ feed, seq }) => placeName(feed, seq)) }
}
