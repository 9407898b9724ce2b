import type { Command } from 'commander'

import { type Cli, globalsOf } from '../cli.ts'
import { openOperations } from '../open.ts'

/** Lines are written together up to about this size: a system call for each would take most of the time. */
const bufferLength = 64 * 1024

export function addExport(program: Command, cli: Cli): void {
  program
    .command('export')
    .description(
      'write all records to standard output, as NDJSON, as they are; what nobody has reviewed is tagged',
    )
    .option('--collection <name>', 'only these')
    .action(async ({ collection }: { collection?: string }, command: Command) => {
      await using opened = await openOperations(cli, globalsOf(command, cli))
      let buffer = ''
      for await (const line of opened.operations.export(collection)) {
        buffer += `${line}\n`
        if (buffer.length < bufferLength) continue
        await cli.stdout.write(buffer)
        buffer = ''
        if (cli.stdout.closed.aborted) return
      }
      await cli.stdout.write(buffer)
    })
}
