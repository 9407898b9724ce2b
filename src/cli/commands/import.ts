import type { Command } from 'commander'

import type { ImportOptions, ImportProgress, ImportResult, Rejection } from '../../device/api.ts'
import { countText } from '../amounts.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { PrintedFailure } from '../failure.ts'
import { importFiles } from '../import-sources.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { progressBar } from '../progress-bar.ts'

/** Rejections that are shown to people; `--json` has them all. */
const shownRejections = 10

export function addImport(program: Command, cli: Cli): void {
  program
    .command('import')
    .description('take in FHIR R4: NDJSON, a Bundle, a single resource, or a directory of them')
    .argument('<path...>', 'files and directories; - reads standard input')
    .option('--dry-run', 'write nothing, and say what would be written')
    .option('--overwrite', 'take what the files say, also where it may be older than what is here')
    .option('--restore', 'also bring back what was deleted here')
    .action(async (paths: string[], choices: ImportOptions, command: Command) => {
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const { sources, totalBytes, unreadable } = await importFiles(paths, cli.stdin)
      let readable = 0
      const imported = await withProgress(cli, totalBytes, (onProgress) =>
        opened.operations.import(
          counted(sources, () => readable++),
          { ...choices, onProgress },
        ),
      )
      const result = { ...imported, rejected: [...unreadable, ...imported.rejected] }
      const failure = failureOf(result, { readable, unreadable: unreadable.length })
      await print(cli, globals, {
        document: {
          ...result,
          error: failure && { code: failure.code, message: failure.message },
        },
        text: importText(result, choices),
      })
      if (failure !== undefined) throw failure
    })
}

async function withProgress<T>(
  cli: Cli,
  totalBytes: number | undefined,
  act: (onProgress: (progress: ImportProgress) => void) => Promise<T>,
): Promise<T> {
  await using bar = progressBar(cli.stderr, { totalBytes, nowMs: () => cli.nowMs() })
  return await act((progress) => bar.update(progress))
}

/** Nothing came in, though there was something; that nothing changed is no failure. */
function failureOf(
  { records, unchanged, newerHere, deletedHere, rejected }: ImportResult,
  paths: { readable: number; unreadable: number },
): PrintedFailure | undefined {
  if (paths.readable === 0 && paths.unreadable > 0)
    return new PrintedFailure(
      'PATH_UNREADABLE',
      'None of the paths could be read: check their names and permissions.',
    )
  if (records + unchanged + newerHere + deletedHere === 0 && rejected.length > paths.unreadable)
    return new PrintedFailure(
      'NOTHING_IMPORTED',
      'Every line was rejected: check that these are FHIR R4 resources, as NDJSON or a Bundle.',
    )
  return undefined
}

function importText(result: ImportResult, { dryRun = false }: ImportOptions): string {
  const { records, created, unchanged, newerHere, deletedHere, commits, rejected } = result
  const number = (count: number): string => count.toLocaleString('en')
  const written = dryRun ? 'to be written' : `written in ${countText(commits, 'commit')}`
  const counts = `${countText(records, 'record')} ${written}, ${number(created)} of them new; ${number(unchanged)} unchanged, ${number(rejected.length)} rejected.`
  const kept = [
    ...(newerHere === 0
      ? []
      : [
          `${countText(newerHere, 'record')} here ${newerHere === 1 ? 'has' : 'have'} other values that may be newer, and ${newerHere === 1 ? 'keeps' : 'keep'} them: --overwrite takes those of the files.`,
        ]),
    ...(deletedHere === 0
      ? []
      : [
          `${countText(deletedHere, 'record')} ${deletedHere === 1 ? 'was' : 'were'} deleted here, and ${deletedHere === 1 ? 'stays' : 'stay'} so: --restore brings ${deletedHere === 1 ? 'it' : 'them'} back.`,
        ]),
    ...(dryRun ? ['Nothing was written.'] : []),
  ]
  const shown = rejected.slice(0, shownRejections).map(rejectionText)
  const more = rejected.length - shown.length
  return [
    counts,
    ...kept,
    ...shown,
    ...(more > 0 ? [`  and ${more.toLocaleString('en')} more: --json shows all`] : []),
  ].join('\n')
}

function rejectionText({ source, line, code, message }: Rejection): string {
  return `  ${printable(source)}${line > 0 ? `, line ${line}` : ''}: ${printable(message)} (${code})`
}

async function* counted<T>(items: AsyncIterable<T>, onItem: () => void): AsyncGenerator<T> {
  for await (const item of items) {
    onItem()
    yield item
  }
}
