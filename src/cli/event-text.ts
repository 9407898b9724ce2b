import type { Device, DeviceEvent, SyncState } from '../device/api.ts'
import { bytesText, countText } from './amounts.ts'
import { padded } from './cells.ts'
import { printable, timeOfDay } from './printable.ts'

export const stateText: Record<SyncState, string> = {
  IDLE: 'not connected',
  SYNCING: 'exchanging',
  COMPLETE: 'in sync',
  ERROR: 'interrupted',
}

/** One event of `haven up` for people, or undefined for what would only be noise to them. */
export function eventText(
  event: DeviceEvent,
  self: Pick<Device, 'info' | 'mesh'>,
): string | undefined {
  const line = (subject: string, sentence: string) =>
    `${timeOfDay(event.time)}  ${padded(subject, 14)}  ${sentence}`
  switch (event.event) {
    case 'ready':
      return line('ready', readyText(event.addresses, self))
    case 'peer':
      return line(
        nameOf(event.device),
        event.connected ? `connected, ${stateText[event.state]}` : stateText[event.state],
      )
    case 'sync':
      // While it goes on there would be a line for every few records; `haven status --watch` shows that better.
      return event.state === 'COMPLETE'
        ? line(nameOf(event.device), `in sync; ${trafficText(event)}`)
        : undefined
    case 'change':
      return line(
        'changed',
        `${countText(event.ids.length, 'record')} in ${printable(event.collection)}`,
      )
    case 'schema':
      return line(
        'schema',
        `${printable(event.collection)} is read and written by version ${event.version}`,
      )
    case 'joined':
      return line(nameOf(event.device), `joined as ${event.device.role}`)
    case 'refused':
      return line('refused', `${printable(event.address)} (${event.code})`)
    case 'edit-problem':
      return line('edit', `${printable(event.message)} (${printable(event.code)})`)
    case 'notice':
      return line('notice', `${printable(event.message)} (${printable(event.code)})`)
    default:
      // An event of a later version.
      return undefined
  }
}

export function nameOf({ id, name }: { id: string; name: string | null }): string {
  return name === null ? id.slice(0, 8) : printable(name)
}

function trafficText({ commits, bytes }: Extract<DeviceEvent, { event: 'sync' }>): string {
  return `received ${countText(commits.in, 'commit')} (${bytesText(bytes.in)}), sent ${commits.out.toLocaleString('en')} (${bytesText(bytes.out)})`
}

function readyText(
  addresses: readonly string[],
  { info, mesh }: Pick<Device, 'info' | 'mesh'>,
): string {
  const who = info === null ? 'this device' : `${nameOf(info)} (${info.role})`
  const where = mesh === null ? '' : ` of ${nameOf(mesh)}`
  if (addresses.length === 0)
    return `${who}${where} is running; it does not listen, so it has to find the others`
  return `${who}${where} is running. Where other devices don't find it by themselves:
${' '.repeat(26)}haven up --peer ${reachable(addresses).map(printable).join(' ')}`
}

/** What another computer can dial; a loopback address only when there is nothing else. */
function reachable(addresses: readonly string[]): readonly string[] {
  const beyondThisComputer = addresses.filter(
    (address) => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(address),
  )
  return beyondThisComputer.length > 0 ? beyondThisComputer : addresses
}
