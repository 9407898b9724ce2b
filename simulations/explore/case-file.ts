/** A schedule with the seed that it is played with, as a file: a case that failed, to be played again exactly. */
import { z } from 'zod'
import type { Schedule } from '../schedule.ts'

export interface Case {
  readonly seed: string
  readonly schedule: Schedule
  /** What did not hold when it was found; null: it is kept since it holds now. */
  readonly violation: string | null
}

const us = z.int().nonnegative()
const index = z.int().nonnegative()

/** JSON knows no infinity. */
const rate = z.union([z.number().positive(), z.literal('unlimited')])

const link = z.strictObject({
  latencyUs: us,
  bytesPerSecond: rate.transform((value) => (value === 'unlimited' ? Infinity : value)),
  lossPercent: z.number().min(0).max(99),
  setupUs: us,
})

const at = { atUs: us, device: index }
const fault = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('crash'), ...at, forUs: us, power: z.boolean() }),
  z.strictObject({ kind: z.literal('disk-full'), ...at, forUs: us }),
  z.strictObject({ kind: z.literal('restore'), ...at, toUs: us, whole: z.boolean() }),
  z.strictObject({ kind: z.literal('clock-step'), ...at, stepMs: z.int() }),
  z.strictObject({ kind: z.literal('lost'), ...at }),
  z.strictObject({ kind: z.enum(['corrupt', 'replay']), ...at, forUs: us, perMille: z.number() }),
  z.strictObject({
    kind: z.literal('strangers'),
    ...at,
    forUs: us,
    perSecond: z.number().positive(),
    bytes: z.int().positive(),
  }),
])

const schema = z.strictObject({
  version: z.literal(1),
  seed: z.string(),
  violation: z.string().nullable(),
  schedule: z.strictObject({
    endUs: us,
    devices: z.array(
      z.strictObject({
        name: z.string(),
        site: z.string(),
        role: z.enum(['admin', 'clinician', 'viewer', 'courier', 'server']),
        syncUs: us,
        clockOffsetMs: z.int(),
        clockDriftPpm: z.number(),
      }),
    ),
    contacts: z.array(z.strictObject({ a: index, b: index, fromUs: us, toUs: us, link })),
    writes: z.array(
      z.strictObject({
        atUs: us,
        device: index,
        record: z.string(),
        field: z.string(),
        bytes: z.int().nonnegative(),
        urgent: z.boolean(),
      }),
    ),
    faults: z.array(fault),
  }),
})

export function encodeCase({ seed, schedule, violation }: Case): string {
  const replacer = (_: string, value: unknown): unknown =>
    value === Infinity ? 'unlimited' : value
  return `${JSON.stringify({ version: 1, seed, violation, schedule }, replacer, 1)}\n`
}

/** @throws TypeError saying what is wrong with it, and where */
export function decodeCase(text: string): Case {
  const parsed = schema.safeParse(JSON.parse(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new TypeError(`${issue!.path.join('.')}: ${issue!.message}`)
  }
  const { seed, violation, schedule } = parsed.data
  const all = schedule.contacts.flatMap(({ a, b }) => [a, b])
  for (const { device } of [...schedule.writes, ...schedule.faults]) all.push(device)
  const stray = all.find((device) => device >= schedule.devices.length)
  if (stray !== undefined) throw new TypeError(`there is no device number ${stray}`)
  return { seed, violation, schedule }
}
