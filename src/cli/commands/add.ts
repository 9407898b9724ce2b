import type { Command } from 'commander'

import type { RecordChange } from '../../device/api.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { openOperations } from '../open.ts'
import { writtenText } from '../written.ts'

export function addAdd(program: Command, cli: Cli): void {
  program
    .command('add')
    .description("add elements to a set; nobody else's are touched")
    .argument('<collection>')
    .argument('<id>', 'such as AllergyIntolerance/123')
    .argument('<field>', 'which the schema of the collection has as a set')
    .argument('<json...>', `elements, such as '{"code":"penicillin"}'`)
    .option('--urgent', 'send it ahead of everything else')
    .action(
      async (
        collection: string,
        id: string,
        field: string,
        elements: string[],
        { urgent = false }: { urgent?: boolean },
        command: Command,
      ) => {
        const globals = globalsOf(command, cli)
        const changes = elements.map((value): RecordChange => ({ op: 'add', field, value }))
        await using opened = await openOperations(cli, globals)
        const written = await opened.operations.write(collection, id, changes, { urgent })
        await print(cli, globals, { document: written, text: writtenText(written) })
      },
    )
}
