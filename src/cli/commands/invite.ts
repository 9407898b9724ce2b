import { type Command, Option } from 'commander'
import { renderUnicodeCompact } from 'uqr'

import { HavenError } from '../../core/errors.ts'
import type { Device, Invitation, InviteOptions } from '../../device/api.ts'
import { aborted } from '../aborted.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { durationText } from '../amounts.ts'
import { parseTtlMs } from '../duration.ts'
import { nameOf } from '../event-text.ts'
import { openOperations } from '../open.ts'
import { timeOfDay } from '../printable.ts'

/** One that does not come will hear it at its first meeting with any device. */
const visitMs = 5_000

interface Options {
  role: NonNullable<InviteOptions['role']>
  bridge?: true
  ttl: string
}

export function addInvite(program: Command, cli: Cli): void {
  program
    .command('invite')
    .description('let one other device in: prints a code, also as a QR code')
    .addOption(
      new Option('--role <role>', 'what the device may do')
        .choices(['clinician', 'viewer', 'courier', 'admin'])
        .default('clinician'),
    )
    .option('--bridge', 'it may carry everything to the servers of the mesh; admins may anyway')
    .option('--ttl <duration>', 'how long the code can be used, such as 90s, 10m or 2h', '10m')
    .action(async ({ role, bridge, ttl }: Options, command: Command) => {
      const ttlMs = parseTtlMs(ttl)
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      // The code holds the addresses at which this device can be reached, so it listens first.
      await opened.device?.up()
      const invitation = await opened.operations.invite({ role, bridge, ttlMs })
      await print(cli, globals, {
        document: invitation,
        text: invitationText(invitation, { cli, ttlMs, waits: opened.device !== undefined }),
      })
      if (opened.device === undefined) return
      const { device } = opened
      const visit = firstVisit(device)
      const member = await untilUsed(device, invitation, cli.stopSignal())
      if (!globals.json) await cli.stdout.write(`${nameOf(member)} joined as ${member.role}.\n`)
      await visit.ended(cli.stopSignal())
    })
}

/** A new member comes at once to hear what collections there are; this device must not be gone by then. */
function firstVisit(device: Device) {
  const end = Promise.withResolvers<void>()
  let hasBegun = false
  device.subscribe((event) => {
    if (event.event === 'sync' && event.state === 'COMPLETE') end.resolve()
    if (event.event !== 'peer') return
    if (!event.connected && hasBegun) end.resolve()
    hasBegun ||= event.connected
  })
  return {
    ended: (stop: AbortSignal) =>
      Promise.race([end.promise, aborted(AbortSignal.any([stop, AbortSignal.timeout(visitMs)]))]),
  }
}

async function untilUsed(device: Device, { code, expires }: Invitation, stop: AbortSignal) {
  const member = await device.invitationUsed(code, stop)
  if (stop.aborted)
    throw new HavenError(
      'STOPPED',
      `Stopped before anybody joined: the code can be used until ${timeOfDay(expires)} all the same, while \`haven up\` runs.`,
    )
  if (member === null)
    throw new HavenError(
      'INVITATION_EXPIRED',
      'Nobody joined in time: run `haven invite` again for a new code.',
    )
  return member
}

function invitationText(
  { code, role, expires }: Invitation,
  { cli, ttlMs, waits }: { cli: Cli; ttlMs: number; waits: boolean },
): string {
  return `${cli.stdout.isTerminal ? qrCode(code, cli.stdout.columns) : ''}An invitation for one device, as ${role}, until ${timeOfDay(expires)} (${durationText(ttlMs)}).
On that device, on the same network:

    haven join ${code}
${waits ? '\nWaiting until it has joined; Ctrl-C stops that.' : ''}`
}

/** In fixed colours, since a camera needs light around dark whatever the terminal's theme. Empty where it would not fit. */
function qrCode(code: string, columns: number): string {
  const rows = renderUnicodeCompact(code, { border: 2 }).split('\n')
  if (rows[0]!.length > columns) return ''
  return `${rows.map((row) => `\u001b[97;40m${row}\u001b[0m`).join('\n')}\n\n`
}
