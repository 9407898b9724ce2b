/**
 * npm run bench [-- --only NAME … --rounds N --quick --reference --json --dir DIR]
 *
 * Measures what docs/benchmarks.md describes, each time against a bare libp2p stream in the same run, and ends with exit
 * code 1 when a result is beyond what it must keep to.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Pair, type Reconnect } from './pair.ts'
import { bridgeNames, measureBridge } from './bridge.ts'
import { writeEdits, writeRecords, type RecordsFile } from './records-file.ts'
import { measureEditedRecord, readNames, restartNames, sizeNames } from './edited-record.ts'
import { parseAndCopy, Reference } from './reference.ts'
import { median, resultOf, Samples, table } from './report.ts'
import { rows, type Row, type RowName } from './rows.ts'
import { measureSlowLink, slowLinkNames } from './satellite.ts'
import { fullScale, quickScale } from './scale.ts'
import {
  idleNames,
  measureIdle,
  measurePostgres,
  measureUploads,
  postgresNames,
  uploadNames,
} from './upload.ts'

const latencyEdits = 50
const connectedNames: RowName[] = [
  'initial-sync',
  'initial-bytes',
  'edits-import',
  'edits-set',
  'reconnect-bytes',
  'reconnect-trips',
  'reconnect-100k-growth',
  'latency',
]
const largeReconnectNames: RowName[] = [
  'reconnect-100k-bytes',
  'reconnect-100k-trips',
  'reconnect-100k-growth',
]
const updateNames: RowName[] = ['integrate-import', 'integrate-set', 'conflicts-100k']
const largeConnectedNames: RowName[] = [...largeReconnectNames, ...updateNames, 'documents-memory']
const largeDeviceNames: RowName[] = ['device-100k-start', 'device-100k-memory']

const options = readOptions()
const scale = options.quick ? quickScale : fullScale
const chosen: readonly (Row & { name: RowName })[] = rows.filter(({ name }) =>
  options.only.some((prefix) => name.startsWith(prefix)),
)
const referenceCrossings: number[] = []
const samples = new Samples()
const directory = mkdtempSync(join(options.dir, 'haven-bench-'))
const measuring = { samples, directory, scale, rounds: options.rounds, isWanted }
process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }))

const records = writeRecords(directory, 10_000)
say(
  `Node.js ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim()}; ` +
    `10,000 records: ${records.bytes.toLocaleString('en')} B of NDJSON, ` +
    `${records.deflatedBytes.toLocaleString('en')} B deflated`,
)
for (let round = 1; round <= options.rounds; round++) {
  say(`round ${round} of ${options.rounds}: reference`)
  await measureReference()
  if (options.reference || !isWanted('import', ...connectedNames)) continue
  say(`round ${round} of ${options.rounds}: two devices, 10,000 records`)
  await measurePair()
}
if (!options.reference && isWanted(...largeConnectedNames, ...largeDeviceNames)) {
  say(`two devices, ${scale.records.toLocaleString('en')} records`)
  await measureLarge()
}
if (!options.reference && isWanted(...sizeNames, ...restartNames, ...readNames)) {
  say('four devices that edit one record')
  await measureEditedRecord(samples, { directory, scale, rounds: options.rounds, isWanted })
}
if (!options.reference && isWanted(...uploadNames)) {
  say('a server that takes uploads')
  await measureUploads(measuring)
}
if (!options.reference && isWanted(...postgresNames)) {
  say('a server that takes uploads, on PostgreSQL')
  const whyNot = await measurePostgres(measuring)
  if (whyNot !== undefined) say(`skipped: ${whyNot}`)
}
if (!options.reference && isWanted(...idleNames)) {
  say('a server with many idle bridges')
  await measureIdle(measuring)
}
if (!options.reference && isWanted(...bridgeNames)) {
  say('a bridge and its server')
  await measureBridge(measuring)
}
if (!options.reference && isWanted(...slowLinkNames)) {
  say('a bridge with a slow link')
  await measureSlowLink(measuring)
}

const results = chosen.map((row) =>
  resultOf(row, samples.of(row.name), options.quick && row.large === true),
)
if (options.json) {
  const { bytes, deflatedBytes } = records
  const context = { node: process.versions.node, rounds: options.rounds, bytes, deflatedBytes }
  console.log(JSON.stringify({ ...context, results }, undefined, 2))
} else {
  console.log(table(results))
}
process.exitCode = results.some(({ verdict }) => verdict === 'MISSED') ? 1 : 0

async function measureReference(): Promise<void> {
  await using reference = await Reference.start()
  samples.add('device-100k-start', 'reference', reference.startMs)
  samples.add('device-100k-memory', 'reference', (await reference.residentBytes()) / 1e6)
  samples.add('initial-sync', 'reference', await reference.copy(records))
  samples.add('initial-bytes', 'reference', records.deflatedBytes)
  samples.add('import', 'reference', await parseAndCopy(records))
  if (isWanted('reconnect-bytes', 'reconnect-trips', ...largeReconnectNames)) {
    const reconnect = await reference.reconnect()
    samples.add('reconnect-bytes', 'reference', greaterDirection(reconnect))
    samples.add('reconnect-100k-bytes', 'reference', greaterDirection(reconnect))
    referenceCrossings.push(reconnect.crossings)
  }
  if (isWanted('latency')) {
    samples.add('latency', 'reference', ...(await reference.echoes(latencyEdits)))
  }
}

async function measurePair(): Promise<void> {
  const place = mkdtempSync(join(directory, 'pair-'))
  await using pair = await Pair.enrol(place)
  samples.add('import', 'ours', await pair.importRecords(records))
  if (!isWanted(...connectedNames)) return

  const { ms, bytes } = await pair.initialSync(records)
  samples.add('initial-sync', 'ours', ms)
  samples.add('initial-bytes', 'ours', bytes)
  if (isWanted('reconnect-bytes', 'reconnect-trips', 'reconnect-100k-growth')) {
    addReconnect('reconnect-bytes', 'reconnect-trips', await pair.reconnect())
  }
  if (isWanted('edits-import')) {
    const { path, values } = writeEdits(directory, records, { count: 100, number: 1 })
    const edit = { by: 'import', path } as const
    samples.add('edits-import', 'ours', await pair.editsAfterReconnect(values, edit))
  }
  if (isWanted('edits-set')) {
    const { values } = writeEdits(directory, records, { count: 100, number: 2 })
    samples.add('edits-set', 'ours', await pair.editsAfterReconnect(values, { by: 'set' }))
  }
  if (isWanted('latency')) {
    const { values } = writeEdits(directory, records, { count: latencyEdits, number: 3 })
    for (const value of values) samples.add('latency', 'ours', await pair.editLatency(value))
  }
}

async function measureLarge(): Promise<void> {
  const many: RecordsFile = writeRecords(directory, scale.records)
  await using pair = await Pair.enrol(mkdtempSync(join(directory, 'large-')))
  await pair.importRecords(many)
  if (isWanted(...largeConnectedNames)) await pair.initialSync(many)
  if (isWanted(...largeReconnectNames)) {
    for (let round = 1; round <= options.rounds; round++) {
      addReconnect('reconnect-100k-bytes', 'reconnect-100k-trips', await pair.reconnect())
    }
    const few = median(samples.of('reconnect-bytes').ours)
    for (const bytes of samples.of('reconnect-100k-bytes').ours) {
      if (few !== undefined) samples.add('reconnect-100k-growth', 'ours', Math.max(0, bytes - few))
    }
  }
  if (isWanted(...updateNames)) await measureUpdates(pair, many)
  if (isWanted('documents-memory')) {
    const bytes = await pair.documentsMemory(many, scale.documents)
    samples.add('documents-memory', 'ours', Math.max(0, bytes) / 1e6)
  }
  if (isWanted(...largeDeviceNames)) {
    for (let round = 1; round <= options.rounds; round++) {
      const { ms, residentBytes } = await pair.startAlone()
      samples.add('device-100k-start', 'ours', ms)
      samples.add('device-100k-memory', 'ours', residentBytes / 1e6)
    }
  }
}

/** Which ends with more conflicts than the list is measured with, so that comes in between. */
async function measureUpdates(pair: Pair, many: RecordsFile): Promise<void> {
  const { updates: count, conflicts } = scale
  for (const [number, by] of (['import', 'set'] as const).entries()) {
    if (by === 'set' && !isWanted('integrate-set')) continue
    const field = by === 'import' ? 'status' : 'class'
    const theirs = writeEdits(directory, many, { count, number: 10 + number, field })
    const own = theirs.values.slice(0, conflicts).map((value) => ({ ...value, json: '"other"' }))
    samples.add(`integrate-${by}`, 'ours', await pair.integrate({ theirs, by, own }))
    if (by === 'set' || !isWanted('conflicts-100k')) continue
    for (let round = 1; round <= options.rounds; round++) {
      const { ms, open } = await pair.listConflicts()
      if (open !== conflicts)
        throw new Error(`${open} conflicts, where there should be ${conflicts}.`)
      samples.add('conflicts-100k', 'ours', ms)
    }
  }
}

/**
 * The reference crosses the link for the handshake of libp2p and for one round trip of ours. What we cross it more often are round trips of our own.
 */
function addReconnect(bytesName: RowName, tripsName: RowName, reconnect: Reconnect): void {
  samples.add(bytesName, 'ours', greaterDirection(reconnect))
  const more = reconnect.crossings - median(referenceCrossings)!
  samples.add(tripsName, 'ours', 1 + more / 2)
}

function greaterDirection({ traffic }: Reconnect): number {
  return Math.max(traffic.fromDialler, traffic.fromListener)
}

function isWanted(...names: RowName[]): boolean {
  return chosen.some(({ name }) => names.includes(name))
}

function say(sentence: string): void {
  console.error(sentence)
}

interface Options {
  only: string[]
  rounds: number
  quick: boolean
  reference: boolean
  json: boolean
  dir: string
}

function readOptions(): Options {
  try {
    return parseOptions()
  } catch (error) {
    console.error((error as Error).message)
    return process.exit(2)
  }
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [''] },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      reference: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
    },
  })
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a number from 1.')
  for (const prefix of values.only) {
    if (rows.some(({ name }) => name.startsWith(prefix))) continue
    throw new Error(`Nothing is called "${prefix}": ${rows.map(({ name }) => name).join(', ')}`)
  }
  return { ...values, rounds }
}
