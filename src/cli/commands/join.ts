import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { membershipText } from '../membership-text.ts'
import { alreadyMember, openDevice } from '../open.ts'

interface JoinCommandOptions {
  device?: string
  site?: string
}

export function addJoin(program: Command, cli: Cli): void {
  program
    .command('join')
    .description('make this device a member, by the code that `haven invite` shows')
    .argument('<code>')
    .option('--device <name>', 'name of this device (default: the name of the computer)')
    .option('--site <name>', 'where this device is used, such as the name of the camp')
    .action(async (code: string, options: JoinCommandOptions, command: Command) => {
      const globals = globalsOf(command, cli)
      await using device = await openDevice(cli, globals, { whileUp: alreadyMember })
      if (cli.stderr.isTerminal && !globals.json)
        await cli.stderr.write('Looking for the device that invites…\n')
      const joined = await device.join(code, {
        deviceName: options.device,
        site: options.site,
        signal: cli.stopSignal(),
      })
      const note =
        options.site !== undefined && joined.device.role === 'courier'
          ? `\nIt only carries, and can not say its site. An admin says it: haven site NAME --of ${joined.device.id.slice(0, 8)}`
          : ''
      await print(cli, globals, { document: joined, text: `${membershipText(joined)}${note}` })
    })
}
