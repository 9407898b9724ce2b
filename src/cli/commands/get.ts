import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { openOperations } from '../open.ts'
import { recordDocument, recordText } from '../record.ts'
import { recordStatusText } from '../record-status-text.ts'

export function addGet(program: Command, cli: Cli): void {
  program
    .command('get')
    .description('a record, with all values of a field where several were written at the same time')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .option('--status', 'also which other devices hold it, and how far what they wrote is known')
    .action(
      async (
        collection: string,
        id: string,
        { status: withStatus = false }: { status?: boolean },
        command: Command,
      ) => {
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const view = await opened.operations.get(collection, id)
        const width = cli.stdout.isTerminal ? cli.stdout.columns : Infinity
        const document = recordDocument(view)
        const text = recordText(view, width)
        if (!withStatus) return await print(cli, globals, { document, text })
        const status = await opened.operations.recordStatus(collection, id)
        const { id: _id, collection: _collection, ...known } = status
        return await print(cli, globals, {
          document: { ...document, status: known },
          text: `${text}\n\n${recordStatusText(status, cli.nowMs())}`,
        })
      },
    )
}
