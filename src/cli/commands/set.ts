import type { Command } from 'commander'

import type { JsonText } from '../../device/api.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { usage } from '../failure.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { writtenText } from '../written.ts'

export function addSet(program: Command, cli: Cli): void {
  program
    .command('set')
    .description('change fields of a record; creates what is not there')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .argument(
      '<field=json...>',
      `such as 'gender="female"' or multipleBirthInteger=2; 'gender=' removes the field`,
    )
    .option('--urgent', 'send it ahead of everything else')
    .option(
      '--seen <version>',
      'the "version" of the record that this was decided on: what came after it is not replaced; a text, a set or a counter that was changed since is refused',
    )
    .action(
      async (
        collection: string,
        id: string,
        assignments: string[],
        { urgent = false, seen }: { urgent?: boolean; seen?: string },
        command: Command,
      ) => {
        const fields = parseAssignments(assignments)
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const written = await opened.operations.set(collection, id, fields, { urgent, seen })
        await print(cli, globals, { document: written, text: writtenText(written) })
      },
    )
}

/** @throws HavenError `USAGE`; whether a value is JSON is for the device to judge */
function parseAssignments(assignments: readonly string[]): Map<string, JsonText | undefined> {
  const fields = new Map<string, JsonText | undefined>()
  for (const assignment of assignments) {
    const at = assignment.indexOf('=')
    if (at < 1)
      throw usage(
        `"${printable(assignment)}" is not FIELD=JSON: write it like 'gender="female"', or FIELD= to remove the field.`,
      )
    const name = assignment.slice(0, at)
    if (fields.has(name))
      throw usage(`The field "${printable(name)}" is given twice: give it once.`)
    const text = assignment.slice(at + 1)
    fields.set(name, text === '' ? undefined : text)
  }
  return fields
}
