import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { lostWrites } from '../../simulations/checks/lost-writes.ts'
import { expectedOf, nameOf } from './histories/expected.ts'
import { randomHistory, type Device } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { records, saysMerged } from './histories/ward.ts'

test.prop([anySeed], histories(900))(
  'at no time and nowhere is a write lost, whatever part of the commits a device holds',
  (seed) => {
    randomHistory(seed, {
      onStep({ replica }: Device, truths) {
        const commits = [...replica.commits.keys()].map((id) => truths.get(id)!)
        for (const record of records) {
          const shown = replica.view(record)
          expect(lostWrites({ record, commits, shown, says: saysMerged })).toEqual([])
        }
      },
    })
  },
  timeoutMs,
)

test.prop([anySeed], histories(600))(
  'a replica that lacks commits never hides a live value',
  (seed) => {
    const { devices, dated } = randomHistory(seed)
    for (const { replica } of devices) {
      for (const record of records) {
        const live = new Set(
          replica.view(record).live.map((one) => nameOf(one.writer, one.seq, one)),
        )
        const expected = expectedOf(record, dated([...replica.commits.values()]), () => false)
        for (const one of expected.live) expect(live).toContain(one)
      }
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(500))(
  'what a device writes is accepted everywhere, and nothing else is',
  (seed) => {
    const { commits, devices, isSpoilt } = randomHistory(seed)
    for (const { replica } of devices) {
      const refused = new Set(replica.refused.map((name) => name.split(' ')[0]))
      const spoilt = commits.filter((commit) => replica.commits.has(commit.id) && isSpoilt(commit))
      expect(refused).toEqual(new Set(spoilt.map(({ feed, seq }) => `${feed}:${seq}`)))
    }
  },
  timeoutMs,
)
