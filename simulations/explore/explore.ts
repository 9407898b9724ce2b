/** Looks for schedules in which something does not hold: draws one after the other, and makes smaller what it finds. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RandomStreams } from '../core/random-streams.ts'
import { encodeCase } from './case-file.ts'
import { drawCase } from './draw-case.ts'
import { playCase } from './play-case.ts'
import { shrink } from './shrink.ts'
import { sometimes } from './sometimes.ts'

export interface ExploreOptions {
  readonly seed: string
  /** Number of the first case. */
  readonly first: number
  /** No case is begun after so many, or after so long; undefined: no such limit. */
  readonly cases?: number | undefined
  readonly untilMs?: number | undefined
  /** Where failing cases are written. */
  readonly out: string
  readonly nowMs: () => number
  readonly say: (text: string) => void
}

export interface Exploration {
  readonly cases: number
  /** Files of failing cases. */
  readonly failing: readonly string[]
  /** What never happened of what should happen sometimes. */
  readonly never: readonly string[]
}

/** How often a failing case may be played to make it smaller. */
const shrinkTries = 300

export async function explore(options: ExploreOptions): Promise<Exploration> {
  const { seed, first, cases = Infinity, untilMs = Infinity, out, nowMs, say } = options
  const happened = new Set<string>()
  const failing: string[] = []
  let number = first
  for (; number - first < cases && nowMs() < untilMs; number++) {
    const name = `${seed}-${number}`
    const schedule = drawCase(new RandomStreams(seed, number))
    const result = await playCase(schedule, name)
    for (const each of result.happened) happened.add(each)
    if (result.violation === undefined) continue
    const { invariant, message } = result.violation
    say(`case ${name}: ${message}\n`)
    let tries = 0
    const smallest = await shrink(schedule, async (smaller) => {
      if (++tries > shrinkTries) return false
      return (await playCase(smaller, name)).violation?.invariant === invariant
    })
    const found = (await playCase(smallest, name)).violation
    await mkdir(out, { recursive: true })
    const file = join(out, `case-${name}.json`)
    await writeFile(
      file,
      encodeCase({ seed: name, schedule: smallest, violation: found?.message ?? message }),
    )
    const { faults, contacts, writes } = smallest
    say(
      `  ${file}: ${contacts.length} contacts, ${writes.length} writes, ${faults.length} faults are enough\n`,
    )
    failing.push(file)
  }
  return {
    cases: number - first,
    failing,
    never: sometimes.filter((each) => !happened.has(each)),
  }
}
