import type { Command } from 'commander'

import type { SchemaFinding } from '../../device/api.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { PrintedFailure, usage } from '../failure.ts'
import { RawJson } from '../json.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { readSchemaFile } from '../schema-file.ts'
import { findingsText, schemasText } from '../schema-text.ts'

export function addSchema(program: Command, cli: Cli): void {
  const schema = program
    .command('schema')
    .description('which fields records have, how they merge, and how older apps read them')
  for (const add of [addList, addShow, addApply, addCheck, addPin, addFormat]) add(schema, cli)
}

function addList(schema: Command, cli: Cli): void {
  schema
    .command('list')
    .description('the versions of each collection, since when, and by whom')
    .argument('[collection]')
    .action(async (collection: string | undefined, _options: object, command: Command) => {
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const schemas = await opened.operations.schemas(collection)
      await print(cli, globals, { document: schemas, text: schemasText(schemas) })
    })
}

function addShow(schema: Command, cli: Cli): void {
  schema
    .command('show')
    .description('the schema of a collection, as a file')
    .argument('<collection>')
    .option('--version <n>', 'another one than this device reads and writes by; 0: the built-in')
    .action(async (collection: string, options: { version?: string }, command: Command) => {
      const version = options.version === undefined ? undefined : versionOf(options.version)
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const shown = await opened.operations.schema(collection, version)
      const text = shown.text.trim()
      await print(cli, globals, {
        document: { ...shown, text: undefined, schema: new RawJson(text) },
        text,
      })
    })
}

function addApply(schema: Command, cli: Cli): void {
  schema
    .command('apply')
    .description('give a collection a new schema, on all devices; for admins')
    .argument('<file>', '- reads standard input')
    .option('--force', 'also where something is lost by it')
    .action(async (file: string, { force = false }: { force?: boolean }, command: Command) => {
      const text = await readSchemaFile(file, cli.stdin)
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const applied = await opened.operations.applySchema(text, { force })
      const { collection, version, findings } = applied
      await print(cli, globals, {
        document: applied,
        text: [
          `The schema of ${printable(collection)} has version ${version} now. Other devices get it when they meet.`,
          ...(findings.length === 0 ? [] : [findingsText(findings)]),
        ].join('\n\n'),
      })
    })
}

function addCheck(schema: Command, cli: Cli): void {
  schema
    .command('check')
    .description('what would not survive a new version of a schema; needs no device')
    .argument('<old>', 'a file')
    .argument('<new>', 'a file')
    .action(async (old: string, next: string, _options: object, command: Command) => {
      if (old === '-' && next === '-') throw usage('Only one of the two can be standard input.')
      const globals = globalsOf(command, cli)
      const { checkSchemas } = await import('../../device/schema-files.ts')
      const findings = checkSchemas(
        await readSchemaFile(old, cli.stdin),
        await readSchemaFile(next, cli.stdin),
      )
      const failure = failureOf(findings)
      await print(cli, globals, {
        document: { findings, error: failure && { code: failure.code, message: failure.message } },
        text: findings.length === 0 ? 'Nothing is lost.' : findingsText(findings),
      })
      if (failure !== undefined) throw failure
    })
}

function failureOf(findings: readonly SchemaFinding[]): PrintedFailure | undefined {
  if (findings.some(({ severity }) => severity === 'error'))
    return new PrintedFailure('SCHEMA_INVALID', 'The new schema can not follow the old one.')
  return findings.some(({ severity }) => severity === 'loss')
    ? new PrintedFailure('SCHEMA_LOSSY', 'With the new schema something would be lost.')
    : undefined
}

function addPin(schema: Command, cli: Cli): void {
  schema
    .command('pin')
    .description('this device, for an app of an older version, reads and writes by that version')
    .argument('<collection>')
    .argument('[version]')
    .option('--none', 'by the newest version again')
    .action(
      async (
        collection: string,
        version: string | undefined,
        { none = false }: { none?: boolean },
        command: Command,
      ) => {
        if ((version === undefined) !== none)
          throw usage('Say a version, or --none for the newest.')
        const wanted = version === undefined ? null : versionOf(version)
        const globals = globalsOf(command, cli)
        await using opened = await openOperations(cli, globals)
        const pinned = await opened.operations.pinSchema(collection, wanted)
        await print(cli, globals, {
          document: pinned,
          text: `This device reads and writes ${printable(collection)} by version ${pinned.version}${
            wanted === null ? '' : ', whatever newer ones there are'
          }.`,
        })
      },
    )
}

function addFormat(schema: Command, cli: Cli): void {
  schema
    .command('format')
    .description('the JSON Schema of schemas, for editors and other programs')
    .action(async () => {
      const { schemaFormatText } = await import('../../device/schema-files.ts')
      await cli.stdout.write(`${schemaFormatText()}\n`)
    })
}

/** @throws HavenError `USAGE` */
function versionOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usage('A version is a whole number, such as 2.')
  return Number(text)
}
