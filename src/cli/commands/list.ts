import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'

export function addList(program: Command, cli: Cli): void {
  program
    .command('list')
    .description('the ids of the records of a collection')
    .argument('<collection>', 'such as patients, records, documents')
    .action(async (collection: string, _options: object, command: Command) => {
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const records = await opened.operations.list(collection)
      if (!globals.json && records.length === 0) return
      await print(cli, globals, {
        document: records.map(({ id }) => ({ id })),
        text: records.map(({ id }) => printable(id)).join('\n'),
      })
    })
}
