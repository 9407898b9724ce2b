import type { Command } from 'commander'

import type { Resolution } from '../../device/api.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { usage } from '../failure.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { placeText } from '../written.ts'

interface Options {
  keep?: string | true
  value?: string
  keepBoth?: boolean
  delete?: boolean
  seen?: string
  urgent?: boolean
}

export function addResolve(program: Command, cli: Cli): void {
  program
    .command('resolve')
    .description('settle what haven conflicts shows, for everybody')
    .argument('<collection>')
    .argument('<id>', 'such as Patient/123')
    .argument(
      '[field]',
      'left out: the record itself, which was deleted and changed at the same time',
    )
    .option('--keep [n]', 'the value of this number; without a number: the record stays')
    .option('--value <json>', "another value; '' removes the field")
    .option('--keep-both', 'all values: they hold together')
    .option('--delete', 'the record goes')
    .option('--seen <token>', 'refuse it when the values are not those that were shown with this')
    .option('--urgent', 'send it ahead of everything else')
    .action(
      async (
        collection: string,
        id: string,
        field: string | undefined,
        options: Options,
        command: Command,
      ) => {
        const resolution = resolutionOf(field, options)
        const { seen, urgent = false } = options
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const written = await opened.operations.resolve(collection, id, field ?? null, resolution, {
          urgent,
          seen,
        })
        const what = field === undefined ? printable(id) : `${printable(field)} of ${printable(id)}`
        await print(cli, globals, {
          document: written,
          text: `${what} is settled${placeText(written)}.`,
        })
      },
    )
}

/** @throws HavenError `USAGE` */
function resolutionOf(field: string | undefined, options: Options): Resolution {
  const said = [options.keep, options.value, options.keepBoth, options.delete]
  if (said.filter((one) => one !== undefined).length !== 1)
    throw usage(
      field === undefined
        ? 'Say what becomes of the record: --keep or --delete.'
        : 'Say one of --keep N, --value JSON and --keep-both.',
    )
  if (field === undefined) return resolutionOfRecord(options)
  const { keep, value, keepBoth } = options
  if (value !== undefined) return { value: value === '' ? undefined : value }
  if (keepBoth === true) return { keepBoth: true }
  if (keep === undefined)
    throw usage('A field can not be deleted by this: keep a value of it, or give one.')
  if (keep === true || !/^[1-9]\d{0,5}$/.test(keep))
    throw usage('Say which value to keep by its number in haven conflicts: --keep 1.')
  return { keep: Number(keep) }
}

function resolutionOfRecord({ keep, delete: goes }: Options): Resolution {
  if (goes === true) return { record: 'delete' }
  if (keep === true) return { record: 'keep' }
  throw usage('Name the field whose value it is: haven resolve COLLECTION ID FIELD …')
}
