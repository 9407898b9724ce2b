import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { membershipText } from '../membership-text.ts'
import { alreadyMember, openDevice } from '../open.ts'

export function addJoin(program: Command, cli: Cli): void {
  program
    .command('join')
    .description('make this device a member, by the code that `haven invite` shows')
    .argument('<code>')
    .option('--device <name>', 'name of this device (default: the name of the computer)')
    .action(async (code: string, options: { device?: string }, command: Command) => {
      const globals = globalsOf(command, cli)
      await using device = await openDevice(cli, globals, { whileUp: alreadyMember })
      if (cli.stderr.isTerminal && !globals.json)
        await cli.stderr.write('Looking for the device that invites…\n')
      const joined = await device.join(code, {
        deviceName: options.device,
        signal: cli.stopSignal(),
      })
      await print(cli, globals, { document: joined, text: membershipText(joined) })
    })
}
