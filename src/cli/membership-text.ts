import type { MembershipResult } from '../device/api.ts'
import { nameOf } from './event-text.ts'

export function membershipText({ mesh, device }: MembershipResult): string {
  return `This device, ${nameOf(device)}, is now a member of the mesh ${nameOf(mesh)}, as ${device.role}.

Next:  haven up        runs this device and fetches what it may have
       haven status    shows how far that is
`
}
