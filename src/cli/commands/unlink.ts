import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { linkText } from '../link-text.ts'
import { openOperations } from '../open.ts'

export function addUnlink(program: Command, cli: Cli): void {
  program
    .command('unlink')
    .description('take back that records are about the same person')
    .argument('<collection>')
    .argument(
      '<id...>',
      'two or more: the links between the first and each of the others, and no more',
    )
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
        const result = await opened.operations.unlink(collection, ids, { urgent })
        await print(cli, globals, { document: result, text: linkText(result) })
      },
    )
}
