import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { usage } from '../failure.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { writtenText } from '../written.ts'

export function addCount(program: Command, cli: Cli): void {
  program
    .command('count')
    .description('count a counter up or down; what others count meanwhile adds up')
    .argument('<collection>')
    .argument('<id>', 'such as stock/measles-vaccine')
    .argument('<field>', 'which the schema of the collection has as a counter')
    .argument('<delta>', 'a whole number, such as 20 or -1')
    .option('--urgent', 'send it ahead of everything else')
    .action(
      async (
        collection: string,
        id: string,
        field: string,
        by: string,
        { urgent = false }: { urgent?: boolean },
        command: Command,
      ) => {
        const delta = parseDelta(by)
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const change = { op: 'count', field, delta } as const
        const written = await opened.operations.write(collection, id, [change], { urgent })
        await print(cli, globals, { document: written, text: writtenText(written) })
      },
    )
}

/** @throws HavenError `USAGE` */
function parseDelta(text: string): number {
  const delta = Number(text)
  if (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(delta)) return delta
  throw usage(`"${printable(text)}" is not a whole number: write how many more, such as 20 or -1.`)
}
