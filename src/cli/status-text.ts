import type { DeviceStatus, PeerStatus } from '../device/api.ts'
import { countText, durationText } from './amounts.ts'
import { nameOf, stateText } from './event-text.ts'
import { table } from './cells.ts'
import { printable } from './printable.ts'

/**
 * `haven status` for people: first whether all is well, then who is there and what is held.
 *
 * It says no more than the clocks prove: what another device holds is what it was last heard to hold.
 */
export function statusText(status: DeviceStatus, nowMs: number): string {
  const { device, site, mesh, peers, notices } = status
  if (device === null || mesh === null)
    return 'This device belongs to no mesh yet: run `haven init --mesh NAME` to found one, or `haven join CODE` to join one.'
  return [
    `${nameOf(device)}, ${device.role} in ${nameOf(mesh)}${site === null ? '' : `, used at ${printable(site)}`}`,
    ...safetyLines(status).map((line) => `  ${line}`),
    ...section('Devices', peerRows(peers, nowMs)),
    ...section('Collections', collectionRows(status)),
    ...section(
      'To look at',
      notices.map(({ code, message }) => [printable(message), code]),
    ),
  ].join('\n')
}

function section(title: string, rows: string[][]): string[] {
  return rows.length === 0 ? [] : ['', title, table(rows)]
}

function safetyLines(status: DeviceStatus): string[] {
  const { peers, running } = status
  return [
    ...(running ? [] : ['Nothing is being exchanged now: `haven up` starts that.']),
    ...(peers.length === 0
      ? ['There is no other device yet: `haven invite` lets one in.']
      : [heldText(peers), ...missingText(peers)]),
  ]
}

/** Who holds what this device holds: the answer to "Did I lose anything?". */
function heldText(peers: readonly PeerStatus[]): string {
  const holders = peers.filter((peer) => peer.ahead === 0)
  if (holders.length === peers.length)
    return `Everything that is here is also on ${peers.length === 1 ? nameOf(peers[0]!.device) : `all ${peers.length} other devices`}.`
  if (holders.length > 0) return `Everything that is here is also on ${namesOf(holders)}.`
  const heard = peers.filter((peer) => peer.ahead !== null)
  if (heard.length === 0) return 'No other device has said yet what it holds.'
  const nearest = heard.reduce((a, b) => (b.ahead! < a.ahead! ? b : a))
  return `No other device holds everything that is here; ${nameOf(nearest.device)} lacks ${countText(nearest.ahead!, 'commit')}.`
}

/** What others have and this device lacks: the answer to "Is it finished?". */
function missingText(peers: readonly PeerStatus[]): string[] {
  const leaders = peers.filter((peer) => (peer.behind ?? 0) > 0)
  if (leaders.length === 0)
    return peers.some((peer) => peer.behind === null)
      ? []
      : ['Nothing that is known of is missing here.']
  const most = leaders.reduce((a, b) => (b.behind! > a.behind! ? b : a))
  return [
    `${countText(most.behind!, 'commit')} of ${nameOf(most.device)} ${most.behind === 1 ? 'is' : 'are'} not here yet.`,
  ]
}

function peerRows(peers: readonly PeerStatus[], nowMs: number): string[][] {
  const areSitesKnown = peers.some(({ site }) => site !== null)
  return peers.map((peer) => [
    nameOf(peer.device),
    peer.device.role,
    ...(areSitesKnown ? [printable(peer.site ?? '')] : []),
    peer.connected || peer.state === 'ERROR'
      ? stateText[peer.state]
      : lastSeenText(peer.lastSeen, nowMs),
    [
      ...((peer.behind ?? 0) > 0 ? [`has ${countText(peer.behind!, 'commit')} more`] : []),
      ...((peer.ahead ?? 0) > 0 ? [`lacks ${countText(peer.ahead!, 'commit')}`] : []),
      ...(peer.behind === 0 && peer.ahead === 0 ? ['holds the same'] : []),
      ...(peer.behind === null && peer.ahead === null ? ['holds: not known'] : []),
    ].join(', '),
  ])
}

function lastSeenText(lastSeen: string | null, nowMs: number): string {
  if (lastSeen === null) return 'not met yet'
  // Clocks of tablets differ: what lies in the future was just now.
  const agoMs = Math.max(0, nowMs - Date.parse(lastSeen))
  return `met ${durationText(agoMs)} ago`
}

function collectionRows({ collections }: DeviceStatus): string[][] {
  return Object.entries(collections).map(([name, { records, contentHash }]) => [
    printable(name),
    countText(records, 'record'),
    contentHash.slice(0, 8),
  ])
}

function namesOf(peers: readonly PeerStatus[]): string {
  const names = peers.map((peer) => nameOf(peer.device))
  if (names.length > 3) return `${names.length} other devices`
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
