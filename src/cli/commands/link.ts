import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { linkText } from '../link-text.ts'
import { openOperations } from '../open.ts'

export function addLink(program: Command, cli: Cli): void {
  program
    .command('link')
    .description(
      'say that records are about the same person; nothing is merged, and unlink takes it back',
    )
    .argument('<collection>')
    .argument('<id...>', 'two or more: the first is linked with each of the others')
    .option('--urgent', 'send it ahead of everything else')
    .action(
      async (
        collection: string,
        ids: string[],
        { urgent = false }: { urgent?: boolean },
        command: Command,
      ) => {
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const result = await opened.operations.link(collection, ids, { urgent })
        await print(cli, globals, { document: result, text: linkText(result) })
      },
    )
}
