/** FHIR files in: resources become records, what changed becomes commits, and each line that can't be taken is reported. */
import { bytesToUtf8, concatBytes } from '../core/bytes.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { writesFor } from '../records/changes.ts'
import { resourcesOf } from '../records/fhir.ts'
import type { Resource } from '../records/fhir.ts'
import { importPlan } from '../records/import-plan.ts'
import type { ImportOutcome } from '../records/import-plan.ts'
import { textWrites } from '../records/text-writes.ts'
import type { PlannedWrite } from '../records/writes.ts'
import type { ImportOptions, ImportProgress, ImportResult, ImportSource, Rejection } from './api.ts'
import type { RecordChange, RecordWriter, Written } from './record-writer.ts'
import { withTexts } from './text-change.ts'

export interface ImporterOptions {
  readonly writer: RecordWriter
  /** @throws HavenError `UNKNOWN_COLLECTION`, `NOT_ALLOWED` */
  readonly collectionNamed: (name: string) => string
  readonly choices: ImportOptions
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined
}

/** One resource on its way into its record. */
interface Incoming {
  readonly change: RecordChange
  /** As it was found when it was the record's turn. */
  outcome: ImportOutcome
  /** Something is to be written for it. */
  writes: boolean
}

/** FHIR deflates about five to six times: so much text fills a commit of 256 KiB. */
const batchBytes = 1_200_000
/** Rejections that are kept; their number goes on counting in the message of the last. */
const rejectionsMax = 10_000

/** A resource without elements is a record all the same: that it has no field `id` says so, which none ever has. */
const existence: PlannedWrite = { field: 'id', op: 'put', value: undefined }

export class Importer {
  readonly #options: ImporterOptions
  readonly #result = {
    records: 0,
    created: 0,
    unchanged: 0,
    newerHere: 0,
    deletedHere: 0,
    commits: 0,
    rejected: [] as Rejection[],
  }
  /** Resources that were looked at. */
  #seen = 0
  readonly #batches = new Map<string, { incoming: Incoming[]; bytes: number }>()
  #writing: Promise<void> = Promise.resolve()
  #bytes = 0

  constructor(options: ImporterOptions) {
    this.#options = options
  }

  /** @throws HavenError of the store; what had been reported as progress is durable then */
  async run(sources: Iterable<ImportSource> | AsyncIterable<ImportSource>): Promise<ImportResult> {
    for await (const source of sources) {
      try {
        if (source.format === 'ndjson') await this.#lines(source)
        else await this.#document(source)
      } catch (error) {
        if (!isHavenError(error, 'PATH_UNREADABLE')) throw error
        this.#reject({ source: source.name, line: 0, code: error.code, message: error.message })
      }
    }
    for (const name of this.#batches.keys()) await this.#flush(name)
    await this.#writing
    return this.#result
  }

  async #lines(source: ImportSource): Promise<void> {
    let pending: Uint8Array[] = []
    let pendingBytes = 0
    let tooLong = false
    let line = 1
    const end = async (): Promise<void> => {
      if (tooLong) {
        const message = `The line is longer than ${limits.importLineBytes / 1024 / 1024} MiB. Split the resource, or leave its attachment out.`
        this.#reject({ source: source.name, line, code: 'LINE_TOO_LONG', message })
      } else if (pendingBytes > 0) {
        await this.#text(source, line, pending.length === 1 ? pending[0]! : concatBytes(...pending))
      }
      pending = []
      pendingBytes = 0
      tooLong = false
      line++
    }
    for await (const chunk of source.chunks) {
      this.#bytes += chunk.length
      let from = 0
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
        if (pendingBytes + at - from > limits.importLineBytes) tooLong = true
        else if (at > from) {
          pending.push(chunk.subarray(from, at))
          pendingBytes += at - from
        }
        await end()
        from = at + 1
      }
      if (pendingBytes + chunk.length - from > limits.importLineBytes) {
        // Not kept: a line without an end must not fill the memory.
        tooLong = true
        pending = []
        pendingBytes = 0
      } else if (!tooLong && from < chunk.length) {
        pending.push(chunk.slice(from))
        pendingBytes += chunk.length - from
      }
    }
    await end()
  }

  async #document(source: ImportSource): Promise<void> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of source.chunks) {
      bytes += chunk.length
      this.#bytes += chunk.length
      if (bytes <= limits.importBundleBytes) chunks.push(chunk.slice())
    }
    if (bytes > limits.importBundleBytes) {
      const message = `The file is longer than ${limits.importBundleBytes / 1024 / 1024} MiB. Export it as NDJSON, a resource a line.`
      this.#reject({ source: source.name, line: 1, code: 'TOO_LARGE', message })
      return
    }
    await this.#text(source, 1, concatBytes(...chunks))
  }

  async #text(
    { name: source, format }: ImportSource,
    line: number,
    bytes: Uint8Array,
  ): Promise<void> {
    let text: string
    try {
      text = bytesToUtf8(bytes)
    } catch {
      this.#reject({
        source,
        line,
        code: 'JSON_INVALID',
        message: 'The text is not UTF-8. Save the file as UTF-8.',
      })
      return
    }
    if (line === 1 && text.startsWith('\uFEFF')) text = text.slice(1)
    if (text.trim() === '') return
    let found: ReturnType<typeof resourcesOf>
    try {
      found = resourcesOf(text)
    } catch (error) {
      if (!(error instanceof HavenError)) throw error
      // In a line of NDJSON, the place within the text is a column.
      const message =
        format === 'ndjson' ? error.message.replace('(line 1, column', '(column') : error.message
      this.#reject({ source, line, code: error.code, message })
      return
    }
    for (const { path, code, message } of found.rejections) {
      this.#reject({ source, line, code, message: path === '' ? message : `${path}: ${message}` })
    }
    for (const resource of found.resources) {
      if (resource.type === '' && !this.#hasCollection(resource, { source, line })) continue
      await this.#add(resource)
    }
  }

  /** Of what says itself where it belongs. */
  #hasCollection({ collection }: Resource, at: Pick<Rejection, 'source' | 'line'>): boolean {
    try {
      this.#options.collectionNamed(collection)
      return true
    } catch (error) {
      if (!isHavenError(error)) throw error
      this.#reject({ ...at, code: error.code, message: error.message })
      return false
    }
  }

  async #add(resource: Resource): Promise<void> {
    const batch = this.#batches.get(resource.collection) ?? { incoming: [], bytes: 0 }
    this.#batches.set(resource.collection, batch)
    batch.incoming.push(this.#incoming(resource))
    for (const [name, json] of resource.fields) batch.bytes += name.length + json.length + 8
    if (batch.bytes >= batchBytes) await this.#flush(resource.collection)
  }

  #incoming({ recordId, fields }: Resource): Incoming {
    const { overwrite = false, restore = false, dryRun = false } = this.#options.choices
    const incoming: Incoming = {
      outcome: 'unchanged',
      writes: false,
      change: withTexts(recordId, (view, reading) => {
        const choices = { overwrite, restore, instantMs, reading }
        const { outcome, changes } = importPlan(view, fields, choices)
        const writes = writesFor(view, changes, { reading })
        const mustBe = outcome === 'new' || outcome === 'restored'
        const planned = writes.length === 0 && mustBe ? [existence] : writes
        incoming.outcome = outcome
        incoming.writes = planned.length > 0
        return textWrites(view, dryRun ? [] : planned, { reading })
      }),
    }
    return incoming
  }

  /** Writes a batch while the next one is being read. */
  async #flush(name: string): Promise<void> {
    const batch = this.#batches.get(name)
    if (batch === undefined || batch.incoming.length === 0) return
    this.#batches.set(name, { incoming: [], bytes: 0 })
    await this.#writing
    const collection = this.#options.collectionNamed(name)
    const changes = batch.incoming.map(({ change }) => change)
    const writing = this.#options.writer.write(collection, 'routine', changes)
    this.#writing = (async () => {
      this.#count(batch.incoming, await writing)
    })()
    // Failures surface at the next await; until then they must not count as unhandled.
    this.#writing.catch(() => {})
  }

  #count(incoming: readonly Incoming[], written: Written): void {
    const result = this.#result
    const of = (wanted: ImportOutcome): number =>
      incoming.filter(({ outcome }) => outcome === wanted).length
    // A record that is in a file twice is one record.
    result.records +=
      this.#options.choices.dryRun === true
        ? new Set(incoming.flatMap(({ change, writes }) => (writes ? [change.id] : []))).size
        : written.changed.length
    result.created += of('new')
    result.unchanged += of('unchanged')
    result.newerHere += of('newer-here')
    result.deletedHere += of('deleted-here')
    result.commits += written.commits
    this.#seen += incoming.length
    this.#options.onProgress?.({ records: this.#seen, bytes: this.#bytes })
  }

  #reject(rejection: Rejection): void {
    if (this.#result.rejected.length < rejectionsMax) this.#result.rejected.push(rejection)
  }
}

/** With seconds and an offset, as FHIR has it. */
const instantPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/

function instantMs(text: string): number | undefined {
  const ms = instantPattern.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
