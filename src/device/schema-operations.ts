/** Schemas by collection name, as people and programs ask for them. */
import { HavenError } from '../core/errors.ts'
import { factTypes } from '../identity/control-fact.ts'
import { builtInDocumentText } from '../records/schema/built-in-schema.ts'
import { checkSchemas } from '../records/schema/schema-check.ts'
import type { SchemaDocument } from '../records/schema/schema-document.ts'
import type { SchemaFinding } from '../records/schema/schema-finding.ts'
import { parseSchemaDocument } from '../records/schema/schema-parser.ts'
import type { AppliedSchema, CollectionSchemas, SchemaText, SchemaVersion } from './api.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { readSchema } from './schema-files.ts'
import type { HeardSchema } from './schemas.ts'
import { rfc3339 } from './system.ts'

/** Findings that an error names. */
const namedFindings = 5

export class SchemaOperations {
  readonly #runtime: MeshRuntime

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime
  }

  list(name?: string): CollectionSchemas[] {
    const names = name === undefined ? this.#runtime.collectionNames() : [name]
    // Who can read nothing is told so.
    if (names.length === 0) this.#runtime.collectionId('patients')
    return names.map((each) => this.#schemasOf(each))
  }

  text(name: string, version?: number): SchemaText {
    const { schemas } = this.#runtime
    const id = this.#runtime.collectionId(name)
    const wanted = version ?? schemas.readingOf(id).version
    if (wanted === 0) return { collection: name, version: 0, text: builtInDocumentText(name) }
    const heard = schemas.heardOf(id).find((each) => each.version === wanted && each.counts)
    if (heard === undefined) throw noSuchVersion(name, wanted)
    if (heard.text === undefined) {
      throw new HavenError(
        'NOT_READABLE_YET',
        'The key to read this schema has not arrived. Meet another device of the mesh once.',
      )
    }
    return { collection: name, version: wanted, text: heard.text }
  }

  /** One after the other: each has to know of the one before. */
  apply(text: string, { force = false }: { force?: boolean }): Promise<AppliedSchema> {
    return this.#runtime.schemaLock.run(() => this.#apply(text, force))
  }

  async pin(name: string, version: number | null): Promise<CollectionSchemas> {
    const id = this.#runtime.collectionId(name)
    if (version !== null && !this.#runtime.schemas.bookOf(id).versions.includes(version)) {
      throw noSuchVersion(name, version)
    }
    await this.#runtime.pinSchema(id, version ?? undefined)
    return this.#schemasOf(name)
  }

  async #apply(text: string, force: boolean): Promise<AppliedSchema> {
    const { control, schemas } = this.#runtime
    if (control.ownRole !== 'admin') {
      throw new HavenError(
        'NOT_ALLOWED',
        `This device is a ${control.ownRole}: only an admin changes schemas. Do it on a device of an admin.`,
      )
    }
    const document = readSchema(text)
    const { collection, version } = document
    const id = this.#runtime.collectionId(collection)
    this.#assertNext(document, schemas.heardOf(id))
    const findings = this.#check(id, document)
    refuse(findings, force)
    const sealed = this.#runtime.sealLabel(text, factTypes.schema)
    if (sealed === undefined) {
      throw new HavenError(
        'NOT_READABLE_YET',
        'This device has no key to seal a schema yet. Connect it to a device of the mesh once.',
      )
    }
    await this.#runtime.writeFacts([{ kind: 'schema', collection: id, version, schema: sealed }])
    if (!schemas.heardOf(id).some((each) => each.counts && each.text === text)) {
      throw new HavenError(
        'SCHEMA_VERSION',
        `Another admin has just announced version ${version} of this schema. Look at haven schema list, and give yours the next number.`,
      )
    }
    return { collection, version, findings }
  }

  #assertNext({ version, from }: SchemaDocument, heard: readonly HeardSchema[]): void {
    const newest = heard.findLast(({ counts }) => counts)
    if (newest !== undefined && !newest.understood) {
      throw new HavenError(
        'SCHEMA_VERSION',
        `This device does not understand the newest version of this schema, ${newest.version}. Update it, or let it meet another device first.`,
      )
    }
    const before = newest?.version ?? 0
    if (version <= before) {
      throw new HavenError(
        'SCHEMA_VERSION',
        `The schema of this collection has version ${before} already: give this one version ${before + 1}.`,
      )
    }
    if (from !== before) {
      throw new HavenError(
        'SCHEMA_VERSION',
        `This schema builds on version ${from}, but the newest one is ${before}: let its lens start there ("lens": {"from": ${before}, "steps": [...]}).`,
      )
    }
  }

  /** Against what is in use now, with all the versions before. */
  #check(collection: string, document: SchemaDocument): SchemaFinding[] {
    const book = this.#runtime.schemas.bookOf(collection)
    const old =
      book.document(book.newest) ?? parseSchemaDocument(builtInDocumentText(document.collection), 0)
    const earlier = book.versions.slice(0, -1).flatMap((version) => book.document(version) ?? [])
    return checkSchemas(old, document, earlier)
  }

  #schemasOf(name: string): CollectionSchemas {
    const { schemas } = this.#runtime
    const id = this.#runtime.collectionId(name)
    const builtIn: SchemaVersion = { version: 0, since: null, by: null, state: 'known' }
    const heard = schemas
      .heardOf(id)
      .map(({ version, author, time, counts, understood }): SchemaVersion => ({
        version,
        since: rfc3339(time.ms),
        by: { id: author, name: this.#runtime.control.nameOf(author) },
        state: understood ? 'known' : counts ? 'not-understood' : 'superseded',
      }))
    return {
      collection: name,
      version: schemas.readingOf(id).version,
      pinned: schemas.pinOf(id) ?? null,
      versions: [builtIn, ...heard],
    }
  }
}

function refuse(findings: readonly SchemaFinding[], force: boolean): void {
  const errors = findings.filter(({ severity }) => severity === 'error')
  if (errors.length > 0) {
    throw new HavenError(
      'SCHEMA_INVALID',
      `This schema can not follow the one in use.\n${linesOf(errors)}`,
    )
  }
  const losses = findings.filter(({ severity }) => severity === 'loss')
  if (losses.length === 0 || force) return
  throw new HavenError(
    'SCHEMA_LOSSY',
    `With this schema something would be lost. Change it, or insist with --force.\n${linesOf(losses)}`,
  )
}

function linesOf(findings: readonly SchemaFinding[]): string {
  const lines = findings.slice(0, namedFindings).map(({ type, field, message }) => {
    const place = [type, field].filter((part) => part !== null).join('.')
    return place === '' ? message : `${place}: ${message}`
  })
  const more = findings.length - lines.length
  if (more > 0) lines.push(`And ${more} more.`)
  return lines.join('\n')
}

function noSuchVersion(collection: string, version: number): HavenError {
  return new HavenError(
    'NOT_FOUND',
    `The collection ${collection} has no schema of version ${version} here. See haven schema list.`,
  )
}
