import { bytesText, countText } from '../amounts.ts'
import { padded, table } from '../cells.ts'
import { stateText } from '../event-text.ts'
import type { CampDevice } from './camp-device.ts'
import { countRecords } from './story.ts'

/** What the camp shows at a moment. */
export interface Scene {
  devices: readonly CampDevice[]
  steps: readonly { title: string; outcome?: string; failure?: string; seconds?: number }[]
  /** Said at the end, or in between. */
  remarks: readonly string[]
}

/** The live view: who holds what, what has travelled, and how far the story is. */
export function sceneText({ devices, steps, remarks }: Scene): string {
  return [
    'Havenmesh: a camp in a box, three devices on this computer',
    '',
    table([['device', 'role', 'holds', 'links', 'received', 'sent'], ...devices.map(deviceRow)]),
    '',
    ...steps.map((step) => `  ${stepText(step)}`),
    ...remarks.flatMap((remark) => ['', remark]),
  ].join('\n')
}

export function stepText({ title, outcome, failure, seconds }: Scene['steps'][number]): string {
  if (failure !== undefined) return `✗ ${title}: ${failure}`
  if (outcome === undefined) return `… ${title}`
  return `✓ ${padded(title, 54)} ${seconds!.toFixed(1).padStart(5)} s   ${outcome}`
}

function deviceRow(device: CampDevice): string[] {
  const { status, traffic, name, isUp } = device
  return [
    name,
    status?.device?.role ?? '–',
    status === undefined ? '–' : countText(countRecords(device), 'record'),
    isUp ? linksText(device) : status === undefined ? 'not started' : 'cut off',
    `${countText(traffic.commits.in, 'commit')}, ${bytesText(traffic.bytes.in)}`,
    `${countText(traffic.commits.out, 'commit')}, ${bytesText(traffic.bytes.out)}`,
  ]
}

function linksText({ status }: CampDevice): string {
  const linked = status?.peers.filter((peer) => peer.connected) ?? []
  if (linked.length === 0) return 'looking'
  const busy = linked.find((peer) => peer.state !== 'COMPLETE')
  return `${linked.length}, ${stateText[busy?.state ?? 'COMPLETE']}`
}
