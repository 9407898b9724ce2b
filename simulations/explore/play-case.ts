/** Plays one schedule with all checks, lets it heal, and says what came of it. */
import { RandomStreams } from '../core/random-streams.ts'
import { setTraps } from '../core/traps.ts'
import { FullRun } from '../full/full-run.ts'
import type { Contact, Schedule } from '../schedule.ts'
import { checkAtRest, checkHealed, InvariantError } from './invariants.ts'
import { Sometimes } from './sometimes.ts'

export interface CaseResult {
  /** What did not hold. */
  readonly violation: { readonly invariant: string; readonly message: string } | undefined
  /** What did happen of what should happen sometimes. */
  readonly happened: ReadonlySet<string>
  readonly traceHash: string | undefined
}

/** Everybody meets everybody for so long, on a network that works. */
const healUs = 15 * 60e6
const goodLink = { latencyUs: 1_000, bytesPerSecond: 12_500_000, lossPercent: 0, setupUs: 0 }

/** @param seed - of keys and of the protocol's own chance */
export async function playCase(schedule: Schedule, seed: string): Promise<CaseResult> {
  const sometimes = new Sometimes()
  const undo = setTraps()
  try {
    const run = await FullRun.start(healing(schedule), new RandomStreams(seed, 0))
    const { traceHash } = await run.play(() => {
      checkAtRest(run)
      sometimes.look(run)
    })
    await checkHealed(run, schedule)
    sometimes.lookBack(run)
    return { violation: undefined, happened: sometimes.happened, traceHash }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const invariant = error instanceof InvariantError ? error.invariant : 'nothing is thrown'
    const message = error instanceof InvariantError ? error.message : (error.stack ?? error.message)
    return { violation: { invariant, message }, happened: sometimes.happened, traceHash: undefined }
  } finally {
    undo()
  }
}

/** The same, and after its end a time in which nothing goes wrong. */
function healing(schedule: Schedule): Schedule {
  const fromUs = schedule.endUs + 60e6
  const toUs = fromUs + healUs
  const contacts: Contact[] = []
  for (let a = 0; a < schedule.devices.length; a++)
    for (let b = a + 1; b < schedule.devices.length; b++)
      contacts.push({ a, b, fromUs, toUs: toUs + 1, link: goodLink })
  return { ...schedule, endUs: toUs, contacts: [...schedule.contacts, ...contacts] }
}
