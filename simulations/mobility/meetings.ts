/** Contacts of pairs that meet by chance. */
import type { RandomStream } from '../core/random-streams.ts'
import type { Contact, LinkProfile } from '../schedule.ts'
import type { MobilityOf } from '../scenario/scenario-schema.ts'

const hourUs = 3_600e6

/** Each pair meets at the points of a Poisson process: together those of one process, each point of a pair at random. */
export function chanceMeetings(
  { rate, length }: MobilityOf<'meetings'>,
  options: {
    readonly devices: readonly number[]
    readonly link: LinkProfile
    readonly endUs: number
    readonly random: RandomStream
  },
): Contact[] {
  const { devices, link, endUs, random } = options
  const pairCount = (devices.length * (devices.length - 1)) / 2
  const meanUs = hourUs / (rate * pairCount)
  const contacts: Contact[] = []
  for (let atUs = random.exponential(meanUs); atUs < endUs; atUs += random.exponential(meanUs)) {
    const first = random.int(0, devices.length - 1)
    const second = (first + random.int(1, devices.length - 1)) % devices.length
    const fromUs = Math.floor(atUs)
    const [a, b] = [devices[first]!, devices[second]!]
    contacts.push({ a, b, fromUs, toUs: Math.min(endUs, fromUs + length), link })
  }
  return contacts
}
