/** Contacts of devices with a server, while they have a way out. */
import type { Contact, LinkProfile } from '../schedule.ts'
import type { MobilityOf } from '../scenario/scenario-schema.ts'

export function uplinkContacts(
  { every, length, offset }: MobilityOf<'uplink'>,
  options: {
    readonly devices: readonly number[]
    readonly server: number
    readonly link: LinkProfile
    readonly endUs: number
  },
): Contact[] {
  const { devices, server, link, endUs } = options
  return devices.flatMap((a) => {
    const contacts: Contact[] = []
    const add = (fromUs: number, toUs: number): void => {
      if (fromUs < endUs && a !== server)
        contacts.push({ a, b: server, fromUs, toUs: Math.min(endUs, toUs), link })
    }
    if (every === undefined || length === undefined) add(offset, endUs)
    else for (let atUs = offset; atUs < endUs; atUs += every) add(atUs, atUs + length)
    return contacts
  })
}
