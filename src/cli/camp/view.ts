import { bytesText } from '../amounts.ts'
import { padded, table } from '../cells.ts'
import { stateText } from '../event-text.ts'
import type { CampDevice } from './camp-device.ts'
import { countRecords } from './story.ts'

export interface Step {
  title: string
  outcome?: string
  failure?: string
  seconds?: number
}

/** The upper part of the live view: who holds what, and what has travelled. All lines fit on 80 columns. */
export function headLines(devices: readonly CampDevice[]): string[] {
  return [
    'Havenmesh: a camp in a box, three devices on this computer',
    '',
    ...table([columnNames, ...devices.map(deviceRow)]).split('\n'),
    '',
  ]
}

export function stepText({ title, outcome, failure, seconds }: Step): string {
  if (failure !== undefined) return `✗ ${title}: ${failure}`
  if (outcome === undefined) return `… ${title}`
  return `✓ ${padded(title, 38)} ${seconds!.toFixed(1).padStart(5)} s   ${outcome}`
}

const columnNames = ['device', 'records', 'links', 'commits in', 'out', 'bytes in', 'out']

function deviceRow(device: CampDevice): string[] {
  const { status, traffic, name, isUp } = device
  return [
    name,
    status === undefined ? '–' : countRecords(device).toLocaleString('en'),
    isUp ? linksText(device) : status === undefined ? 'not started' : 'cut off',
    traffic.commits.in.toLocaleString('en'),
    traffic.commits.out.toLocaleString('en'),
    bytesText(traffic.bytes.in),
    bytesText(traffic.bytes.out),
  ]
}

function linksText({ status }: CampDevice): string {
  const linked = status?.peers.filter((peer) => peer.connected) ?? []
  if (linked.length === 0) return 'looking'
  const busy = linked.find((peer) => peer.state !== 'COMPLETE')
  return `${linked.length}, ${stateText[busy?.state ?? 'COMPLETE']}`
}
