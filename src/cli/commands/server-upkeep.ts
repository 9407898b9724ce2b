import type { Command } from 'commander'

import { HavenError } from '../../core/errors.ts'
import type { RestoreReport } from '../../server/backup/restore-backup.ts'
import type { MeshSummary } from '../../server/mesh-summary.ts'
import type { ServerPlace } from '../../server/open-server-home.ts'
import { bytesText, countText } from '../amounts.ts'
import { table } from '../cells.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { PrintedFailure, usage } from '../failure.ts'
import { momentText } from '../moment-text.ts'
import { dateAndTime } from '../printable.ts'
import { shellWord } from '../shell-word.ts'

/** What who looks after a server does beside it: its meshes, its backups. */
export function addServerUpkeep(
  server: Command,
  cli: Cli,
  placeOf: (command: Command) => ServerPlace,
): void {
  server
    .command('meshes')
    .description('list the meshes that this server carries for')
    .action(async (_options: object, command: Command) => {
      const { withControl } = await import('../../server/reach-server.ts')
      const meshes = await withControl(placeOf(command), (control) => control.meshes())
      await print(cli, globalsOf(command, cli), {
        document: { meshes: meshes.map((mesh) => ({ ...mesh })) },
        text: meshesText(meshes, cli.nowMs()),
      })
    })
  server
    .command('remove')
    .argument('<mesh>', 'its id, as `haven server meshes` shows it')
    .option('--yes', 'do not ask')
    .description('remove a mesh, with all that is here of it')
    .action(async (mesh: string, { yes }: { yes?: true }, command: Command) => {
      if (yes !== true) await confirm(cli, mesh)
      const { withControl } = await import('../../server/reach-server.ts')
      await withControl(placeOf(command), (control) => control.remove(mesh))
      await print(cli, globalsOf(command, cli), {
        document: { removed: mesh },
        text: `Mesh ${mesh} is gone from this server. Its devices keep what they have, and it can be added again: \`haven server invite\`.`,
      })
    })
  server
    .command('backup')
    .argument('<file>', 'where to write it; one that is there is replaced')
    .description('back this server up into one file, also while it runs')
    .action(async (file: string, _options: object, command: Command) => {
      const { writeBackup } = await import('../../server/backup/write-backup.ts')
      const report = await writeBackup(placeOf(command), file)
      const { meshes, commits, bytes, sealed } = report
      await print(cli, globalsOf(command, cli), {
        document: { ...report },
        text: `${amountText({ meshes, commits })} are in ${file} (${bytesText(bytes)}), with the keys of this server: keep it like a key.${
          sealed ? '' : '\nThey are not sealed: set HAVEN_PASSPHRASE to have them sealed.'
        }`,
      })
    })
  server
    .command('verify')
    .argument('<file>', 'a backup')
    .description('check a backup, without restoring it')
    .action(async (file: string, _options: object, command: Command) => {
      const { checkBackup } = await import('../../server/backup/restore-backup.ts')
      const check = await checkBackup(file, placeOf(command).passphrase)
      const { damages, keys } = check
      await print(cli, globalsOf(command, cli), {
        document: { ...reportDocument(check), keys },
        text: `${madeText(check)}: ${amountText(check)}. ${
          damages.length > 0
            ? `It is damaged:\n${listed(damages)}`
            : keys === null
              ? 'All of it is whole; its keys were not tried, since HAVEN_PASSPHRASE is not set.'
              : 'All of it is whole.'
        }`,
      })
      if (damages.length > 0)
        throw new PrintedFailure('BACKUP_DAMAGED', `The backup ${file} is damaged.`)
    })
  server
    .command('restore')
    .argument('<file>', 'a backup')
    .option('--salvage', 'take what is whole of a damaged one')
    .description('make a server of a backup, in an empty directory (--data)')
    .action(async (file: string, { salvage }: { salvage?: true }, command: Command) => {
      const { restoreBackup } = await import('../../server/backup/restore-backup.ts')
      const place = placeOf(command)
      const report = await restoreBackup(place, file, { salvage: salvage === true })
      const { damages } = report
      await print(cli, globalsOf(command, cli), {
        document: reportDocument(report),
        text: `${madeText(report)} is restored in ${place.dataDir ?? 'the database'}: ${amountText(report)}. Start it with \`${startCommand(place)}\`, with the options that it had: devices bring what has come since.${
          damages.length > 0 ? `\nThis was damaged, and is not restored:\n${listed(damages)}` : ''
        }`,
      })
    })
}

/** Of a database nothing but the option: there may be a password in its URL. */
function startCommand({ dataDir }: ServerPlace): string {
  return dataDir === undefined
    ? 'haven server --postgres …'
    : `haven server --data ${shellWord(dataDir)}`
}

/** @throws HavenError `STOPPED`, `USAGE` where nobody can be asked */
async function confirm(cli: Cli, mesh: string): Promise<void> {
  await cli.stderr.write(
    `All that is here of mesh ${mesh} will be removed, and can not be brought back from here. Remove it? (yes/no) `,
  )
  const answer = await firstLine(cli.stdin)
  if (answer === undefined) {
    await cli.stderr.write('\n')
    throw usage('There is nobody to ask: give --yes, if it is to be removed.')
  }
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new HavenError('STOPPED', 'Nothing was removed.')
}

async function firstLine(stdin: AsyncIterable<Uint8Array>): Promise<string | undefined> {
  let text = ''
  for await (const chunk of stdin) {
    text += Buffer.from(chunk).toString('utf8')
    if (text.includes('\n')) break
  }
  return text === '' ? undefined : text.split('\n')[0]
}

function meshesText(meshes: readonly MeshSummary[], nowMs: number): string {
  if (meshes.length === 0)
    return 'This server carries for no mesh yet: `haven server invite` prints a code for one.'
  const rows = meshes.map((mesh) => [
    mesh.mesh,
    mesh.since === null ? 'never added' : momentText(mesh.since, nowMs),
    mesh.commits.toLocaleString('en'),
    mesh.quotaBytes === null
      ? bytesText(mesh.bytes)
      : `${bytesText(mesh.bytes)} of ${bytesText(mesh.quotaBytes)}`,
    mesh.devices.toLocaleString('en'),
    mesh.lastContact === null ? 'never' : momentText(mesh.lastContact, nowMs),
    mesh.problem ?? '',
  ])
  const header = ['MESH', 'SINCE', 'COMMITS', 'SIZE', 'DEVICES', 'LAST CONTACT', '']
  return table([header, ...rows], '')
}

function reportDocument({ madeMs, ...rest }: RestoreReport) {
  return { made: new Date(madeMs).toISOString(), ...rest, damages: [...rest.damages] }
}

function madeText({ madeMs, device }: RestoreReport): string {
  const made = dateAndTime(new Date(madeMs).toISOString())
  return `The backup of server ${device.slice(0, 8)} made ${made}`
}

function amountText({ meshes, commits }: { meshes: number; commits: number }): string {
  return `${meshes === 1 ? '1 mesh' : `${meshes.toLocaleString('en')} meshes`} with ${countText(commits, 'commit')}`
}

function listed(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n')
}
