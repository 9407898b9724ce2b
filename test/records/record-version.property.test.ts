import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { compareVersions, versionOf } from '../../src/records/record-version.ts'
import { randomHistory, replicaOf, type Device, type History } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { records } from './histories/ward.ts'

test.prop([anySeed], histories(600))(
  'how two versions of a record lie to each other is what their readers could have known',
  (seed) => {
    const history = randomHistory(seed, { restores: false })
    const { causality } = replicaOf(history.commits, history.reading)
    for (const record of records) {
      for (const one of history.devices) {
        for (const other of history.devices) {
          const [a, b] = [one, other].map(({ replica }) => versionOf(replica.state(record)))
          expect(compareVersions(a!, b!, causality)).toBe(
            relationOf(known(one, record, history), known(other, record, history)),
          )
        }
      }
    }
  },
  timeoutMs,
)

interface Known {
  /** Commits that touch the record. */
  readonly own: ReadonlySet<string>
  /** With all that their authors had before them. */
  readonly past: ReadonlySet<string>
}

function known({ replica }: Device, record: string, { truths, touches }: History): Known {
  const own = new Set(
    [...replica.commits.values()].filter((commit) => touches(commit, record)).map(({ id }) => id),
  )
  const past = new Set(own)
  for (const id of own) for (const earlier of truths.get(id)!.held) past.add(earlier)
  return { own, past }
}

function relationOf(a: Known, b: Known): ReturnType<typeof compareVersions> {
  const aInB = [...a.own].every((id) => b.past.has(id))
  const bInA = [...b.own].every((id) => a.past.has(id))
  if (aInB) return bInA ? 'equal' : 'before'
  return bInA ? 'after' : 'concurrent'
}
