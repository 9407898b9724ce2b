import type { BridgeStatus, ServerStatus, WaitingClass, WaitingSide } from '../device/api.ts'
import { bytesText, countText, durationText } from './amounts.ts'
import { budgetLine } from './budget.ts'
import { nameOf } from './event-text.ts'
import { timeText } from './moment-text.ts'
import { printable } from './printable.ts'

/** `haven bridge status` for people. */
export function bridgeText(status: BridgeStatus, nowMs: number): string {
  const lines = [bridgeLine(status)]
  if (status.budget !== null) lines.push(budgetLine(status.budget, nowMs))
  for (const server of status.servers) lines.push('', ...serverLines(server, nowMs))
  return lines.join('\n')
}

function bridgeLine({ mayBridge, paused, running, servers }: BridgeStatus): string {
  if (!mayBridge)
    return 'This device has no right to bridge. An admin gives it with `haven invite --bridge`, for a new device.'
  if (servers.length === 0)
    return 'The mesh has no server yet. On a server: `haven server invite`; on the device of an admin: `haven bridge add CODE`.'
  if (paused) return 'The bridge rests: `haven bridge resume` ends that.'
  if (!running) return 'Nothing is being exchanged now: `haven up` starts that.'
  return servers.some(({ state }) => state === 'connected')
    ? 'This device is connected with a server.'
    : 'This device is not connected with any server.'
}

/** A server, and how this device stands with it. */
export function serverLines(server: ServerStatus, nowMs: number): string[] {
  return [
    `  ${nameOf(server.device)} (${server.device.id.slice(0, 8)}) at ${server.addresses.map(printable).join(', ')}`,
    `    ${stateLine(server, nowMs)}`,
    ...(server.problem === null
      ? []
      : [
          `    ${server.state === 'connected' ? 'It says' : 'Last time'}: ${printable(server.problem.message)} (${printable(server.problem.code)})`,
        ]),
    `    ${heldLine(server)}`,
    ...(server.waiting === null
      ? []
      : [
          ...waitingLines('To go up', server.waiting.up),
          ...waitingLines('To come down', server.waiting.down),
        ]),
    ...(server.lost === null
      ? []
      : [
          `    It has lost ${countText(server.lost.commits, 'commit')} that it had held, since ${timeText(server.lost.since, nowMs)}; devices that have them send them again. (SERVER_LOST_DATA)`,
        ]),
  ]
}

function stateLine(server: ServerStatus, nowMs: number): string {
  const { allowed, state, carrier, since, nextTry } = server
  if (!allowed) return 'Not to be used from here yet: `haven bridge allow` says yes, once.'
  const agoMs = since === null ? 0 : Math.max(0, nowMs - Date.parse(since))
  switch (state) {
    case 'connected':
      return `Connected for ${durationText(agoMs)}${carrier === 'post' ? ', in plain requests: WebSockets don’t get through' : ''}.`
    case 'connecting':
      return 'Being called.'
    case 'waiting': {
      const inMs = nextTry === null ? 0 : Math.max(0, Date.parse(nextTry) - nowMs)
      return `Not reached; tried again in ${durationText(inMs)}, and when the network changes.`
    }
    case 'idle':
    default:
      return 'Not called now.'
  }
}

function heldLine({ behind, ahead }: ServerStatus): string {
  if (behind === null || ahead === null) return 'What it holds is not known yet.'
  if (behind === 0 && ahead === 0) return 'It holds what is here, and nothing more.'
  return [
    ahead === 0 ? 'It holds everything that is here' : `It lacks ${countText(ahead, 'commit')}`,
    ...(behind === 0 ? [] : [`has ${countText(behind, 'commit')} that are not here`]),
  ]
    .join(', and ')
    .concat('.')
}

/** `To go up: 3.2 MB, about 4 minutes at the last rate (urgent 12 kB, patients 3.1 MB).` */
function waitingLines(what: string, { bytes, commits, estimated, ms, classes }: WaitingSide) {
  if (commits === 0) return []
  const size = (one: { bytes: number; estimated: boolean }) =>
    `${one.estimated ? 'about ' : ''}${bytesText(one.bytes)}`
  const parts = classes.map((one) => `${classText(one)} ${size(one)}`).join(', ')
  const time = ms === null ? '' : `, about ${durationText(Math.max(1_000, ms))} at the last rate`
  return [`    ${what}: ${size({ bytes, estimated })}${time} (${parts}).`]
}

function classText({ kind, collection }: WaitingClass): string {
  switch (kind) {
    case 'control':
      return 'facts about members'
    case 'urgent':
      return 'urgent'
    case 'routine':
      return collection === null ? 'records' : printable(collection)
    case 'unknown':
    default:
      return 'new'
  }
}
