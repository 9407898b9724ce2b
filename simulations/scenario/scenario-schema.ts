/** What a scenario file may say. The published JSON Schema (docs/schemas/scenario.json) follows from this. */
import { z } from 'zod'
import { bandwidth, duration, perTime, share, shift, size } from './amounts.ts'

const name = z.string().regex(/^[a-z][a-z0-9-]*$/, 'names are of small letters, digits and dashes')
const role = z.enum(['admin', 'clinician', 'viewer', 'courier', 'server'])

const link = z.strictObject({
  latency: duration.default(0).describe('one way'),
  bandwidth: bandwidth.default(Infinity).describe('each way'),
  loss: z.number().min(0).max(99).default(0).describe('packets of a hundred that are sent again'),
  setup: duration.default(0).describe('from the beginning of a contact until there is a link'),
})

const devices = z.strictObject({
  name: name.describe('of one device; several are named name-1, name-2, …'),
  count: z.int().min(1).max(100_000).default(1),
  role: role.default('clinician'),
  site: name.describe('where it is, unless something moves it'),
  fsync: duration.default(0).describe('how long its disk takes to make a batch durable'),
  clock: z
    .strictObject({
      offset: shift.default(0).describe('its wall clock is wrong by so much'),
      spread: duration.default(0).describe('and by up to so much more, each device another'),
      drift: z.number().default(0).describe('parts of a million too fast'),
    })
    .prefault({}),
})

const lan = z
  .strictObject({
    kind: z.literal('lan'),
    sites: z.array(name).min(1).optional().describe('default: all'),
    link: name,
    neighbours: z.int().min(1).default(8).describe('of each device at a time'),
    up: duration.optional().describe('how long it works at a time, on average; default: always'),
    down: duration.optional().describe('how long it does not, on average'),
  })
  .describe('devices at the same site can talk')

const route = z
  .strictObject({
    kind: z.literal('route'),
    devices: z.array(name).min(1),
    stops: z
      .array(z.strictObject({ site: name, stay: duration }))
      .min(2)
      .describe('again and again, in this order'),
    travel: duration.describe('between two stops'),
    start: duration.default(0).describe('when it arrives at the first stop'),
  })
  .describe('devices travel between sites, as mules do')

const meetings = z
  .strictObject({
    kind: z.literal('meetings'),
    devices: z.array(name).min(2),
    rate: perTime.describe('of each pair'),
    length: duration.default(0).describe('0: as long as they have something to say, in no time'),
    link: name.optional().describe('default: takes no time'),
  })
  .describe('each pair meets by chance (a Poisson process)')

const uplink = z
  .strictObject({
    kind: z.literal('uplink'),
    devices: z.array(name).min(1),
    server: name,
    link: name,
    every: duration.optional().describe('default: always up'),
    length: duration.optional(),
    offset: duration.default(0).describe('when the first one begins'),
  })
  .describe('devices reach a server')

const workload = z.strictObject({
  devices: z.array(name).min(1).optional().describe('default: all clinicians'),
  rate: perTime.describe('writes of each device'),
  from: duration.default(0),
  until: duration.optional().describe('default: the end'),
  hours: z
    .tuple([z.number().min(0).max(24), z.number().min(0).max(24)])
    .optional()
    .describe('of the day, from and until; default: day and night'),
  records: z.int().min(1).default(1_000).describe('that are written to'),
  hot: z
    .strictObject({ records: z.int().min(1), share })
    .optional()
    .describe('a few of them get this share of the writes'),
  fields: z.int().min(1).default(10),
  bytes: size.default(40).describe('of a value'),
  urgent: share.default(0),
})

const fault = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('crash'),
    device: name,
    at: duration,
    for: duration.default(0),
    power: z.boolean().default(true),
  }),
  z.strictObject({ kind: z.literal('disk-full'), device: name, at: duration, for: duration }),
  z.strictObject({
    kind: z.literal('restore'),
    device: name,
    at: duration,
    to: duration,
    whole: z.boolean().default(false),
  }),
  z.strictObject({ kind: z.literal('clock-step'), device: name, at: duration, by: shift }),
  z.strictObject({ kind: z.literal('lost'), device: name, at: duration }),
  z.strictObject({
    kind: z.enum(['corrupt', 'replay']),
    device: name,
    at: duration,
    for: duration,
    share,
  }),
  z.strictObject({
    kind: z.literal('strangers'),
    device: name,
    at: duration,
    for: duration,
    rate: perTime,
    bytes: size.default(1_000),
  }),
])

export const scenarioSchema = z.strictObject({
  name,
  question: z.string().min(1).describe('what it is to answer'),
  duration,
  fidelity: z.enum(['full', 'model']).default('full'),
  sites: z.array(name).min(1),
  devices: z.array(devices).min(1),
  links: z.record(name, link).default({}),
  mobility: z.array(z.discriminatedUnion('kind', [lan, route, meetings, uplink])).default([]),
  workload: z.array(workload).default([]),
  faults: z.array(fault).default([]),
})

export type Scenario = z.output<typeof scenarioSchema>
export type Mobility = Scenario['mobility'][number]
export type MobilityOf<Kind extends Mobility['kind']> = Extract<Mobility, { kind: Kind }>
export type Workload = Scenario['workload'][number]
