import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { conflictsDocument, conflictsText } from '../conflict-text.ts'
import { openOperations } from '../open.ts'

export function addConflicts(program: Command, cli: Cli): void {
  program
    .command('conflicts')
    .description(
      'what was written without seeing each other, the gravest first, and how to settle it',
    )
    .option('--collection <name>', 'only these')
    .option('--all', 'show everything that was decided by rule too, not only the first of it')
    .action(
      async (
        { collection, all = false }: { collection?: string; all?: boolean },
        command: Command,
      ) => {
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const conflicts = await opened.operations.conflicts({
          collection,
          bases: true,
          titles: !globals.json,
        })
        const width = cli.stdout.isTerminal ? cli.stdout.columns : Infinity
        await print(cli, globals, {
          document: conflictsDocument(conflicts),
          text: conflictsText(conflicts, { width, all }),
        })
      },
    )
}
