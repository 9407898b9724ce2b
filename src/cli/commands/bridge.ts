import type { Command } from 'commander'

import type { BridgeStatus, DeviceOperations } from '../../device/api.ts'
import { budgetText, parseBudget } from '../budget.ts'
import { bridgeText, serverLines } from '../bridge-text.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { usage } from '../failure.ts'
import { openOperations } from '../open.ts'

export function addBridge(program: Command, cli: Cli): void {
  const bridge = program
    .command('bridge')
    .description('carry what this camp has to the servers of the mesh, and back what others have')
  const act = async (
    command: Command,
    work: (operations: DeviceOperations) => Promise<BridgeStatus>,
  ): Promise<void> => {
    const globals = globalsOf(command, cli)
    await using opened = await openOperations(cli, globals)
    const status = await work(opened.operations)
    await print(cli, globals, { document: { ...status }, text: bridgeText(status, cli.nowMs()) })
  }

  bridge
    .command('add')
    .argument('<code>', 'what `haven server invite` printed on the server')
    .description('let a server into the mesh: it will carry what it can not read')
    .action(async (code: string, _options: object, command: Command) => {
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const server = await opened.operations.addServer(code)
      await print(cli, globals, {
        document: { ...server },
        text: `The server is in, and this device uses it${opened.device === undefined ? '' : ' while `haven up` runs'}. Other devices that may bridge are asked once: \`haven bridge allow\`.
${serverLines(server, cli.nowMs()).join('\n')}`,
      })
    })
  bridge
    .command('allow')
    .argument('[server]', 'its name, or the beginning of its id (default: all that there are)')
    .description('let this device use a server')
    .action((server: string | undefined, _options: object, command: Command) =>
      act(command, (operations) => operations.allowServer(server)),
    )
  bridge
    .command('budget')
    .argument('[amount]', 'like 50MB/day or 2GB/month, by UTC, up and down together; `off`: none')
    .option('--urgent <size>', 'of it, kept for what is urgent (default: a tenth)')
    .description('show or set how much may be carried where it costs something')
    .action(
      async (amount: string | undefined, { urgent }: { urgent?: string }, command: Command) => {
        if (amount === undefined && urgent !== undefined)
          throw usage(
            'Say how much the whole budget is: haven bridge budget 50MB/day --urgent 5MB.',
          )
        const budget = amount === undefined ? undefined : parseBudget(amount, urgent)
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const status =
          budget === undefined
            ? await opened.operations.bridgeStatus()
            : await opened.operations.setBridgeBudget(budget)
        const { budget: set, carried } = status
        const document = { budget: set, carried }
        await print(cli, globals, { document, text: budgetText(status, cli.nowMs()) })
      },
    )
  bridge
    .command('status')
    .description('which servers there are, and whether this device is connected')
    .action((_options: object, command: Command) =>
      act(command, (operations) => operations.bridgeStatus()),
    )
  bridge
    .command('pause')
    .description('leave servers alone until `haven bridge resume`')
    .action((_options: object, command: Command) =>
      act(command, (operations) => operations.pauseBridge(true)),
    )
  bridge
    .command('resume')
    .description('use servers again')
    .action((_options: object, command: Command) =>
      act(command, (operations) => operations.pauseBridge(false)),
    )
}
