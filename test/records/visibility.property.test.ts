import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { encodeFieldsUpdate } from '../../src/records/fields-update.ts'
import type { RecordPayload } from '../../src/records/record-payload.ts'
import type { LiveWrite } from '../../src/records/visibility.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'
import {
  clientsOf,
  noCommit,
  Replica,
  writerNames,
  type Backup,
  type Commit,
} from './simulated-replica.ts'

const runs = Number(process.env.HAVEN_HISTORIES ?? 250)
const anySeed = fc.noShrink(fc.integer())
const options = { numRuns: runs }

test.prop([anySeed], options)(
  'whoever holds all commits sees exactly what no later author had seen',
  (seed) => {
    const { all, truths } = randomHistory(seed)
    const replica = replicaOf(all)
    for (const record of records) {
      const expected = oracle(record, all, truths)
      const view = replica.view(record)
      expect(placesOf(view.live)).toEqual(expected.live)
      expect(view.deleted).toBe(expected.deleted)
      expect(view.resurrected).toBe(expected.resurrected)
      const visible = [
        ...view.fields.values(),
        ...view.conflicts.flatMap(({ field, values }) =>
          field === '' ? [] : values.map(({ value }) => value),
        ),
      ]
      expect(new Set(visible.filter((value) => value !== undefined))).toEqual(expected.shown)
    }
  },
)

test.prop([anySeed], options)('the order of arrival makes no difference', (seed) => {
  const { all, random } = randomHistory(seed)
  const replica = replicaOf(all)
  const other = new Replica()
  for (const commit of interleaved(all, random)) {
    other.receive(commit)
    if (random.chance(0.2)) other.receive(random.pick([...other.commits.values()]))
  }
  const rebuilt = replicaOf(all)
  rebuilt.rebuild(interleaved(all, random))
  for (const one of [other, rebuilt]) {
    expect(one.contentHash()).toBe(replica.contentHash())
    for (const record of records) expect(shownOf(one, record)).toEqual(shownOf(replica, record))
  }
})

test.prop([anySeed], options)('a replica that lacks commits never hides a live value', (seed) => {
  const { devices, truths } = randomHistory(seed)
  for (const { replica } of devices) {
    const held = [...replica.commits.values()]
    for (const record of records) {
      const live = new Set(placesOf(replica.view(record).live))
      for (const place of oracle(record, held, truths).live) expect(live).toContain(place)
    }
  }
})

test.prop([anySeed], options)(
  'hiding commits hides no value of others, and accepting them again gives the same',
  (seed) => {
    const { all, truths, random } = randomHistory(seed)
    const replica = replicaOf(all)
    const before = replica.contentHash()
    const feed = random.pick([...new Set(all.map((commit) => commit.feed))])
    const cut = random.below(6)
    const hidden = new Set(
      random.chance(0.5)
        ? all.filter((one) => one.feed === feed && one.seq > cut).map(({ id }) => id)
        : all.filter(() => random.chance(0.3)).map(({ id }) => id),
    )
    replica.hide(hidden)
    const accepted = all.filter(({ id }) => !hidden.has(id))
    const names = writerNames(all)
    const hiddenPlaces = all
      .filter(({ id }) => hidden.has(id))
      .map(({ id, seq }) => `${names.get(id)}:${seq}`)
    for (const record of records) {
      const live = placesOf(replica.view(record).live)
      for (const place of oracle(record, accepted, truths, all).live) expect(live).toContain(place)
      for (const place of live) expect(hiddenPlaces).not.toContain(place.split(' ')[0])
    }
    replica.hide(new Set())
    expect(replica.contentHash()).toBe(before)
  },
)

// ---

const records = ['r0', 'Patient/00000000-0000-4000-8000-000000000001']

const fields = ['x', 'y']

/** What really happened, whatever the commits say. */
interface Truth {
  readonly commit: Commit
  /** Ids of the commits that its author held, and of what the authors of these held. */
  readonly held: ReadonlySet<string>
  /** By record; writes that were spoilt on purpose are not among them. */
  readonly writes: ReadonlyMap<string, readonly TrueWrite[]>
}

interface TrueWrite extends PlannedWrite {
  /** `feed:seq` of what it says that its author had not seen. */
  readonly unseenPlaces: readonly string[]
}

type Truths = ReadonlyMap<string, Truth>

interface Device {
  replica: Replica
  readonly feeds: string[]
  readonly skewMs: number
  backup: Backup | undefined
}

interface History {
  readonly all: Commit[]
  readonly truths: Truths
  readonly devices: readonly Device[]
  readonly random: Chance
}

function randomHistory(seed: number): History {
  const random = new Chance(seed)
  const truths = new Map<string, Truth>()
  const devices = [0, 1, 2, 3].map((i): Device => ({
    replica: new Replica(),
    feeds: [0, 1].map((lane) => `${i}${lane}`.repeat(16)),
    skewMs: random.chance(0.3) ? random.below(3) * 10 - 10 : 0,
    backup: undefined,
  }))
  for (let step = 0; step < 28; step++) {
    const device = random.pick(devices)
    const choice = random.below(20)
    if (choice < 10) writeSomething(device, { nowMs: 100 + step, truths, random })
    else if (choice < 17) receiveSomething(device.replica, random.pick(devices).replica, random)
    else if (choice < 18) device.backup = device.replica.backup()
    else if (device.backup !== undefined) device.replica = Replica.restored(device.backup)
  }
  return { all: [...truths.values()].map(({ commit }) => commit), truths, devices, random }
}

function writeSomething(
  { replica, feeds, skewMs }: Device,
  { nowMs, truths, random }: { nowMs: number; truths: Map<string, Truth>; random: Chance },
): void {
  const lane = random.chance(0.7) ? 0 : 1
  // Once a device learns that it was restored, it goes on as a new incarnation.
  if (replica.holdsOtherBranch(feeds[lane]!)) {
    feeds[lane] = truths.size.toString(16).padStart(4, '0').repeat(8)
  }
  const feed = feeds[lane]!
  const writes = new Map<string, TrueWrite[]>()
  for (const record of records) {
    if (random.chance(0.3)) continue
    writes.set(record, someWrites(replica, { record, feed, value: truths.size, random }))
  }
  if (writes.size === 0) return
  const held = new Set<string>()
  for (const id of replica.commits.keys()) {
    held.add(id)
    for (const earlier of truths.get(id)!.held) held.add(earlier)
  }
  const spoils = random.chance(0.05)
  const commit = replica.write(feed, nowMs + skewMs, {
    writes,
    mischief: (payload) => {
      const liar = random.chance(0.15) ? withLies(payload, truths, random) : payload
      return spoils ? withSpoiltUpdates(liar, random) : liar
    },
  })
  truths.set(commit.id, { commit, held, writes: spoils ? new Map() : writes })
}

function someWrites(
  replica: Replica,
  { record, feed, value, random }: { record: string; feed: string; value: number; random: Chance },
): TrueWrite[] {
  const writes: TrueWrite[] = []
  const named = replica.feedsNamedBy(feed)
  for (const field of random.shuffled([...fields, ''])) {
    if (random.chance(field === '' ? 0.85 : 0.4)) continue
    const live = replica.view(record).live.filter((one) => named.indexOf(one.feed) !== undefined)
    const set = random.chance(0.15) ? random.shuffled(live).slice(0, 2) : []
    const unseen = set.map(({ feed: from, seq }) => ({ feed: from, seq }))
    const change =
      field === ''
        ? { op: 'delete', value: undefined }
        : random.chance(0.1)
          ? { op: 'vote', value: `${value}` }
          : { op: 'put', value: random.chance(0.15) ? undefined : `${value}` }
    writes.push({
      field,
      ...change,
      ...(unseen.length > 0 && { unseen }),
      unseenPlaces: set.map((one) => `${one.feed}:${one.seq}`),
    })
  }
  return writes
}

/** Entries about places that are not there, or that hold something else. */
function withLies(payload: RecordPayload, truths: Truths, random: Chance): RecordPayload {
  const lies = [0, 1].map(() => {
    const commit = truths.size === 0 ? undefined : random.pick([...truths.values()]).commit
    return {
      feed: random.chance(0.7) && commit !== undefined ? commit.feed : 'ee'.repeat(16),
      seq: random.pick([1, commit?.seq ?? 2, 1000, Number.MAX_SAFE_INTEGER]),
      id: Uint8Array.of(0xbb, random.below(256), random.below(256), random.below(256)),
    }
  })
  return { ...payload, context: [...payload.context, ...lies] }
}

/** Updates that would change what others wrote, or nothing at all. */
function withSpoiltUpdates(payload: RecordPayload, random: Chance): RecordPayload {
  const victim = clientsOf('00'.repeat(16)).clientId
  const put = { field: 'x', op: 'put', value: '"spoilt"' }
  const spoilt = [
    Uint8Array.from({ length: random.below(40) + 1 }, () => random.below(256)),
    encodeFieldsUpdate(victim + 7, 3, { writes: [put], deletedClocks: [] }),
    encodeFieldsUpdate(victim + 7, 0, { writes: [], deletedClocks: [0, 1, 2] }),
  ]
  return {
    ...payload,
    records: payload.records.map((record) => ({ ...record, fields: random.pick(spoilt) })),
  }
}

/** A part of one feed, from where the receiver is. */
function receiveSomething(replica: Replica, from: Replica, random: Chance): void {
  const missing = [...from.commits.values()].filter(({ id }) => !replica.commits.has(id))
  if (missing.length === 0) return
  const chain: Commit[] = []
  for (
    let next: Commit | undefined = random.pick(missing);
    next !== undefined && !replica.commits.has(next.id);
    next = from.commits.get(next.prev)
  ) {
    chain.push(next)
  }
  for (const commit of chain.toReversed()) replica.receive(commit)
}

function replicaOf(commits: readonly Commit[]): Replica {
  const replica = new Replica()
  for (const commit of commits) replica.receive(commit)
  return replica
}

/** All in any order in which each comes after its predecessor. */
function interleaved(commits: readonly Commit[], random: Chance): Commit[] {
  const rest = random.shuffled(commits)
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

interface Candidate {
  readonly truth: Truth
  readonly write: TrueWrite
  readonly position: number
  readonly writer: string
}

/** What is to be seen, by what the authors really held. */
function oracle(
  record: string,
  accepted: readonly Commit[],
  truths: Truths,
  all: readonly Commit[] = accepted,
) {
  const names = writerNames(all)
  const last = new Map<string, Candidate[]>()
  for (const { id } of accepted.toSorted((a, b) => a.seq - b.seq)) {
    const truth = truths.get(id)!
    for (const [position, write] of (truth.writes.get(record) ?? []).entries()) {
      const writer = names.get(id)!
      const key = `${writer} ${write.field}`
      // What a writer says that it had not seen stands beside what it writes, its own too.
      const beside = (last.get(key) ?? []).filter(({ truth: { commit } }) =>
        write.unseenPlaces.includes(`${commit.feed}:${commit.seq}`),
      )
      last.set(key, [...beside, { truth, write, position, writer }])
    }
  }
  const candidates = [...last.values()].flat()
  const sees = (later: Candidate, earlier: Candidate): boolean => {
    const { commit } = earlier.truth
    if (later.write.unseenPlaces.includes(`${commit.feed}:${commit.seq}`)) return false
    return later.truth === earlier.truth
      ? later.position > earlier.position
      : later.truth.held.has(commit.id)
  }
  const live = candidates.filter(
    (one) => !candidates.some((other) => other.write.field === one.write.field && sees(other, one)),
  )
  const isDelete = ({ write }: Candidate): boolean => write.op === 'delete'
  const deletes = candidates.filter(isDelete)
  const uncovered = candidates.filter(
    (one) => !isDelete(one) && !deletes.some((by) => sees(by, one)),
  )
  const deleted = deletes.length > 0 && uncovered.length === 0
  const resurrected =
    deletes.length > 0 &&
    uncovered.some((one) => live.filter(isDelete).some((by) => !sees(one, by)))
  const visible = live.filter(
    (one) => !isDelete(one) && !deleted && (resurrected || uncovered.includes(one)),
  )
  return {
    live: live
      .map(({ writer, truth, write }) => `${writer}:${truth.commit.seq} ${write.field}`)
      .toSorted(),
    deleted,
    resurrected,
    shown: new Set(visible.map(({ write }) => write.value).filter((value) => value !== undefined)),
  }
}

function placesOf(live: readonly LiveWrite[]): string[] {
  return live.map(({ writer, seq, field }) => `${writer}:${seq} ${field}`).toSorted()
}

function shownOf(replica: Replica, record: string) {
  const { fields: shown, conflicts, ...rest } = replica.view(record)
  return { fields: [...shown], conflicts: [...conflicts], ...rest }
}

/** A small generator, so that a history follows from its seed. */
class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  below(count: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * count)
  }

  chance(probability: number): boolean {
    return this.below(1000) < probability * 1000
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
    }
    return shuffled
  }
}
