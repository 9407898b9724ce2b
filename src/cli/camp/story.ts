import { HavenError } from '../../core/errors.ts'
import type { RecordView } from '../../device/api.ts'
import { bytesText, countText } from '../amounts.ts'
import { campData } from './camp-data.ts'
import type { CampDevice } from './camp-device.ts'
import type { Camp } from './camp.ts'

/** A step that has not happened by then will not. */
const stepMs = 60_000
/** Devices that can hear each other's announcements have found each other long before. */
const discoveryMs = 20_000

const meshName = 'Camp'
const field = 'birthDate'
const edits = { registration: '1979-01-01', pharmacy: '1979-07-15' }

/** A step that has happened. */
interface Step {
  name: string
  /** What came of it, for people. */
  outcome: string
  /** The same for programs. */
  details: Record<string, unknown>
}

export interface Narrator {
  begins(name: string, title: string): void
  /** Something that one should know in between. */
  says(sentence: string): void
  happened(step: Step): void
}

/** How the devices find each other, once that is known. */
interface Story {
  camp: Camp
  narrator: Narrator
  links: 'mdns' | 'addresses'
  /** By receiver: how many commits will have come to it when it has the imported ones. */
  awaited: ReadonlyMap<CampDevice, number>
}

type Act = (story: Story) => Promise<Omit<Step, 'name'>>

/** The steps in their order, by name. Each ends when what it says has been seen to be so. */
const steps: readonly [name: string, title: string, act: Act][] = [
  ['found', 'registration founds a mesh', found],
  ['enrol', 'triage and pharmacy join by invitation', enrol],
  ['meet', 'the three find each other', meet],
  ['import', 'registration imports 22 patients', importRecords],
  ['sync', 'the records travel to the others', sync],
  ['cut', 'pharmacy is cut off', cut],
  ['edit', 'both sides change one birth date', edit],
  ['heal', 'pharmacy comes back', heal],
  ['kept', 'both values are on all three', kept],
]

/**
 * Plays the story, from founding a mesh to two values that both survived.
 *
 * @throws HavenError when a step does not happen
 */
export async function tellStory(camp: Camp, narrator: Narrator): Promise<void> {
  const story: Story = { camp, narrator, links: 'mdns', awaited: new Map() }
  for (const [name, title, act] of steps) {
    narrator.begins(name, title)
    narrator.happened({ name, ...(await inTime(act(story))) })
  }
}

async function found({ camp: { registration } }: Story) {
  const mesh = await registration.run('init', '--mesh', meshName, '--device', registration.name)
  await registration.up()
  return {
    outcome: `the mesh is called ${meshName}`,
    details: { ...(mesh as object), recovery: undefined },
  }
}

async function enrol({ camp: { registration, triage, pharmacy } }: Story) {
  for (const device of [triage, pharmacy]) {
    const { code } = (await registration.run('invite')) as { code: string }
    await device.run('join', code, '--device', device.name)
  }
  return {
    outcome: 'they have their keys',
    details: { joined: [triage.name, pharmacy.name] },
  }
}

async function meet(story: Story) {
  const { camp, narrator } = story
  const { triage, pharmacy, devices } = camp
  await Promise.all([triage.up(), pharmacy.up()])
  const isMet = () => devices.every(isConnectedToAll)
  // Both know where registration was when it invited them; that they find each other, too, only discovery explains.
  if (await camp.until(isMet, discoveryMs))
    return { outcome: 'by mDNS', details: { links: 'mdns' } }

  narrator.says('Multicast does not get through here: they go on with typed addresses.')
  story.links = 'addresses'
  for (const device of [triage, pharmacy]) {
    await device.down()
    await device.up(...linkArguments(story))
  }
  await camp.until(isMet)
  return { outcome: 'by typed addresses', details: { links: 'addresses' } }
}

async function importRecords(story: Story) {
  const { registration, triage, pharmacy } = story.camp
  const received = [triage, pharmacy].map((device) => device.traffic.commits.in)
  const result = (await registration.run('import', campData())) as {
    records: number
    commits: number
  }
  if (result.records === 0)
    throw new HavenError('NOTHING_IMPORTED', 'None of the records was imported.')
  story.awaited = new Map(
    [triage, pharmacy].map((device, i) => [device, received[i]! + result.commits]),
  )
  return {
    outcome: `${countText(result.records, 'record')} in ${countText(result.commits, 'commit')}`,
    details: { records: result.records, commits: result.commits },
  }
}

async function sync({ camp, awaited }: Story) {
  const { registration, devices } = camp
  // What has travelled is told a little later than it arrives.
  const isTold = () =>
    [...awaited].every(([device, commits]) => device.traffic.commits.in >= commits)
  await camp.until(() => countRecords(registration) > 0 && agree(devices) && isTold())
  const bytes = devices.reduce((sum, device) => sum + device.traffic.bytes.in, 0)
  return {
    outcome: `all hold the same; ${bytesText(bytes)}`,
    details: { records: countRecords(registration), bytes },
  }
}

async function cut({ camp }: Story) {
  const { registration, triage, pharmacy } = camp
  await pharmacy.down()
  await camp.until(() => [registration, triage].every((device) => !isConnected(device, pharmacy)))
  return {
    outcome: 'stopped, so without a link',
    details: { device: pharmacy.name },
  }
}

async function edit({ camp }: Story) {
  const { registration, triage, pharmacy } = camp
  const id = await patientId(registration)
  const before = hashes(registration)
  await registration.run('set', 'patients', id, `${field}="${edits.registration}"`)
  await pharmacy.run('set', 'patients', id, `${field}="${edits.pharmacy}"`)
  await camp.until(() => hashes(registration) !== before && agree([registration, triage]))
  return {
    outcome: `${edits.registration} | ${edits.pharmacy}`,
    details: { record: id, field, ...edits },
  }
}

async function heal(story: Story) {
  const { camp } = story
  await camp.pharmacy.up(...linkArguments(story))
  await camp.until(() => camp.devices.every(isConnectedToAll) && agree(camp.devices))
  return { outcome: 'all hold the same again', details: { device: camp.pharmacy.name } }
}

async function kept({ camp: { registration, devices } }: Story) {
  const id = await patientId(registration)
  const written = Object.values(edits).toSorted()
  for (const device of devices) {
    const { conflicts } = (await device.run('get', 'patients', id)) as {
      conflicts: Record<string, { value: string }[]>
    }
    const shown = (conflicts[field] ?? []).map(({ value }) => value).toSorted()
    if (shown.join() !== written.join())
      throw new HavenError(
        'INTERNAL',
        `${device.name} shows ${shown.length} of the ${written.length} values of ${field}.`,
      )
  }
  return { outcome: written.join(' and '), details: { record: id, field, values: written } }
}

/** The patient of the story. */
export async function patientId(device: CampDevice): Promise<string> {
  const [first] = (await device.run('list', 'patients')) as Pick<RecordView, 'id'>[]
  if (first === undefined) throw new HavenError('NOT_FOUND', `${device.name} has no patient.`)
  return first.id
}

function linkArguments({ links, camp }: Story): string[] {
  if (links === 'mdns') return []
  const others = [camp.registration, camp.triage].flatMap((device) =>
    device.isUp ? device.addresses : [],
  )
  return ['--no-mdns', '--peer', ...others]
}

function isConnected(device: CampDevice, other: CampDevice): boolean {
  const peers = device.status?.peers ?? []
  return peers.some((peer) => peer.connected && peer.device.name === other.name)
}

function isConnectedToAll(
  device: CampDevice,
  _index: number,
  devices: readonly CampDevice[],
): boolean {
  return devices.every((other) => other === device || isConnected(device, other))
}

function agree(devices: readonly CampDevice[]): boolean {
  const [first, ...rest] = devices.map(hashes)
  return first !== undefined && rest.every((other) => other === first)
}

/** What a device holds, by its content hashes; undefined while nothing is known. */
function hashes({ status }: CampDevice): string | undefined {
  if (status === undefined) return undefined
  const entries = Object.entries(status.collections).map(
    ([name, { contentHash }]) => `${name} ${contentHash}`,
  )
  return entries.toSorted().join('\n')
}

export function countRecords({ status }: CampDevice): number {
  const collections = Object.values(status?.collections ?? {})
  return collections.reduce((sum, { records }) => sum + records, 0)
}

async function inTime<T>(step: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () =>
      late.reject(
        new HavenError('TIMED_OUT', `It had not happened after ${stepMs / 1_000} seconds.`),
      ),
    stepMs,
  )
  try {
    return await Promise.race([step, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
