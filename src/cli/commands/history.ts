import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { usage } from '../failure.ts'
import { historyDocument, historyText } from '../history-text.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'

export function addHistory(program: Command, cli: Cli): void {
  program
    .command('history')
    .description('every change of a record: where, when, what it replaced, and what was known then')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .option('--limit <n>', 'only so many, the newest')
    .action(
      async (collection: string, id: string, options: { limit?: string }, command: Command) => {
        const limit = parseLimit(options.limit)
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const history = await opened.operations.history(collection, id, { limit })
        const width = cli.stdout.isTerminal ? cli.stdout.columns : Infinity
        await print(cli, globals, {
          document: historyDocument(history),
          text: historyText(history, width),
        })
      },
    )
}

/** @throws HavenError `USAGE` */
function parseLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw usage(`"${printable(text)}" is no number of changes: write --limit 20.`)
}
