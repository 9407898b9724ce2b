import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { openOperations } from '../open.ts'
import { recordDocument, recordText } from '../record.ts'

export function addGet(program: Command, cli: Cli): void {
  program
    .command('get')
    .description('a record, with all values of a field where several were written at the same time')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .action(async (collection: string, id: string, _options: object, command: Command) => {
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const view = await opened.operations.get(collection, id)
      const width = cli.stdout.isTerminal ? cli.stdout.columns : Infinity
      await print(cli, globals, { document: recordDocument(view), text: recordText(view, width) })
    })
}
