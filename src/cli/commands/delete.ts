import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { openOperations } from '../open.ts'
import { placeText } from '../written.ts'
import { printable } from '../printable.ts'

export function addDelete(program: Command, cli: Cli): void {
  program
    .command('delete')
    .description('delete a record; an edit that did not see this brings it back')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .option('--urgent', 'send it ahead of everything else')
    .action(
      async (
        collection: string,
        id: string,
        { urgent = false }: { urgent?: boolean },
        command: Command,
      ) => {
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const written = await opened.operations.delete(collection, id, { urgent })
        await print(cli, globals, {
          document: written,
          text: `${printable(written.id)} is deleted${placeText(written)}.`,
        })
      },
    )
}
