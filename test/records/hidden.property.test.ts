import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { lostWrites } from '../../simulations/checks/lost-writes.ts'
import { expectedOf, nameOf } from './histories/expected.ts'
import { randomHistory, replicaOf, type History } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { Replica, type Commit } from './histories/simulated-replica.ts'
import { records, saysMerged } from './histories/ward.ts'

test.prop([anySeed], histories(900))(
  'hiding commits hides no write of others, and accepting them again gives the same',
  (seed) => {
    const history = randomHistory(seed)
    const { commits, reading, dated, chance } = history
    const replica = replicaOf(commits, reading)
    const before = replica.contentHash()
    const views = records.map((record) => replica.view(record))
    const hidden = someHidden(history)
    replica.hide(hidden)
    const accepted = dated(commits).filter(({ id }) => !hidden.has(id))
    const hiddenPlaces = dated(commits)
      .filter(({ id }) => hidden.has(id))
      .map(({ writer, seq }) => `${writer}:${seq}`)
    for (const record of records) {
      const shown = replica.view(record)
      const live = shown.live.map((one) => nameOf(one.writer, one.seq, one))
      for (const one of expectedOf(record, accepted, () => false).live) expect(live).toContain(one)
      for (const one of live) expect(hiddenPlaces).not.toContain(one.split(' ')[0])
      expect(lostWrites({ record, commits: accepted, shown, says: saysMerged })).toEqual([])
    }
    // In whatever order they came, and whenever the verdict was known.
    const other = new Replica(reading, { nowMs: replica.nowMs })
    for (const [index, commit] of commits.entries()) {
      if (index === chance.int(0, commits.length)) other.hide(hidden)
      other.receive(commit)
    }
    other.hide(hidden)
    expect(other.contentHash()).toBe(replica.contentHash())
    replica.hide(new Set())
    expect(replica.contentHash()).toBe(before)
    expect(records.map((record) => replica.view(record))).toEqual(views)
  },
  timeoutMs,
)

/** What the removal of a device hides: of some feeds all that goes beyond some place. */
function someHidden({ commits, chance }: History): Set<string> {
  const hidden = new Set<string>()
  const feeds = [...new Set(commits.map(({ feed }) => feed))]
  for (const feed of chance.shuffled(feeds).slice(0, chance.int(1, 3))) {
    const cut = chance.int(0, 5)
    for (const commit of commits)
      if (commit.feed === feed && isBeyond(commit, cut)) hidden.add(commit.id)
  }
  return hidden
}

function isBeyond({ seq }: Commit, cut: number): boolean {
  return seq > cut
}
