import { join } from 'node:path'
import { ByteCountingProxy, type Traffic } from './byte-counting-proxy.ts'
import { Child, monotonicMs } from './child.ts'
import type { DeviceCommands, FieldValue } from './device-process.ts'
import { collection, recordId, type Edits, type RecordsFile } from './records-file.ts'

/**
 * Two devices of one mesh in processes of their own. The author imports, the neighbour receives; all that they say to each
 * other goes through a proxy.
 */
export class Pair implements AsyncDisposable {
  readonly #proxy: ByteCountingProxy
  readonly #directory: string
  #author: Child<DeviceCommands> | undefined
  #neighbour: Child<DeviceCommands> | undefined

  private constructor(proxy: ByteCountingProxy, directory: string) {
    this.#proxy = proxy
    this.#directory = directory
  }

  /** Founds the mesh, lets the neighbour join, and stops both: each measurement begins with fresh processes. */
  static async enrol(directory: string): Promise<Pair> {
    const pair = new Pair(await ByteCountingProxy.start(), directory)
    try {
      await using author = await pair.#open('author')
      await using neighbour = await pair.#open('neighbour')
      await author.ask('found')
      await author.ask('up', [])
      await neighbour.ask('join', await author.ask('invite'))
      await neighbour.ask('close')
      await author.ask('close')
    } catch (error) {
      await pair[Symbol.asyncDispose]()
      throw error
    }
    return pair
  }

  /** Milliseconds until everything is durable at the author, which is not connected to anybody meanwhile. */
  async importRecords(file: RecordsFile): Promise<number> {
    this.#author ??= await this.#open('author')
    return this.#author.ask('importFile', { path: file.path, records: file.records.length })
  }

  /**
   * Connects the two for the first time since the import.
   *
   * @returns milliseconds from the first byte until `get` answers at the neighbour, and all bytes until both knew that they
   *   were done
   * @throws Error when the neighbour, killed at that moment, has not kept everything
   */
  async initialSync(file: RecordsFile): Promise<{ ms: number; bytes: number }> {
    this.#author ??= await this.#open('author')
    this.#neighbour = await this.#open('neighbour')
    // Not the port at which the neighbour joined, and which it may remember.
    this.#proxy.leadTo(await this.#author.ask('up', []))
    this.#proxy.reset()
    const held = this.#neighbour.ask('untilHeld', sampleOf(file))
    await this.#neighbour.ask('up', [this.#proxy.address])
    const ms = (await held) - this.#proxy.firstByteMs
    await this.#untilInSync()
    await this.#proxy.quiet(settledMs)
    const bytes = sum(this.#proxy.traffic)
    if (bytes < file.deflatedBytes / 4) throw new Error('The devices met around the proxy.')

    await this.#restartNeighbour(async (neighbour) => {
      const kept = await neighbour.ask('count', collection)
      const { length } = file.records
      if (kept !== length)
        throw new Error(`Killed, the neighbour kept ${kept} of ${length} records.`)
    })
    return { ms, bytes }
  }

  /** Cuts the link, lets the author do something that the neighbour then lacks, and heals it; all bytes, both directions. */
  async editsAfterReconnect(values: FieldValue[], edit: Edit): Promise<number> {
    await this.#cut()
    if (edit.by === 'set') await this.author.ask('set', values)
    else await this.author.ask('importFile', { path: edit.path, records: values.length })
    const held = this.neighbour.ask('untilHeld', values)
    await this.#heal()
    await held
    await this.#untilInSync()
    await this.#proxy.quiet(settledMs)
    return sum(this.#proxy.traffic)
  }

  /** Cuts and heals the link while neither has anything new. */
  async reconnect(): Promise<Reconnect> {
    await this.#cut()
    this.#proxy.delayMs = reconnectDelayMs
    await this.#heal()
    await this.#untilInSync()
    await this.#proxy.quiet(nothingMoreMs)
    const { traffic, crossings } = this.#proxy
    this.#proxy.delayMs = 0
    return { traffic, crossings }
  }

  /**
   * Cuts the link, lets the author change all of these records and the neighbour some of them otherwise, and heals it.
   *
   * @param own - of the records at the beginning of `theirs`
   * @returns milliseconds from the first byte until `get` answers with what the author wrote
   * @throws Error when the neighbour, killed at that moment, does not know of each conflict
   */
  async integrate({ theirs, by, own }: Updates): Promise<number> {
    await this.#cut()
    await this.neighbour.ask('set', own)
    const { path, values } = theirs
    if (by === 'set') await this.author.ask('set', values)
    else await this.author.ask('importFile', { path, records: values.length })
    const unrivalled = values.slice(own.length)
    const step = Math.ceil(unrivalled.length / 200)
    const last = unrivalled.length - 1
    const held = this.neighbour.ask(
      'untilHeld',
      unrivalled.filter((_, index) => (last - index) % step === 0),
    )
    await this.#heal()
    const ms = (await held) - this.#proxy.firstByteMs
    const { open: before } = await this.neighbour.ask('listConflicts', collection)
    if (before < own.length) throw new Error(`Of ${own.length} conflicts, ${before} were found.`)
    await this.#restartNeighbour(async (neighbour) => {
      const { open } = await neighbour.ask('listConflicts', collection)
      if (open !== before)
        throw new Error(`Killed, the neighbour knew ${open} of ${before} conflicts.`)
    })
    return ms
  }

  /** Of the neighbour, started anew: milliseconds of its first look at its conflicts, and how many wait for a person. */
  async listConflicts(): Promise<{ ms: number; open: number }> {
    let listed = { ms: 0, open: 0 }
    await this.#restartNeighbour(async (neighbour) => {
      listed = await neighbour.ask('listConflicts', collection)
    })
    return listed
  }

  /** By how many bytes the neighbour's resident memory grows, from some documents that were open for a moment to many. */
  async documentsMemory(
    { records }: RecordsFile,
    count: { first: number; all: number },
  ): Promise<number> {
    const ids = records.slice(0, count.all).map(recordId)
    const open = (some: string[]): Promise<number> =>
      this.neighbour.ask('openDocuments', { collection, ids: some })
    const first = await open(ids.slice(0, count.first))
    return (await open(ids.slice(count.first))) - first
  }

  /** Milliseconds from the call of `set` at the author until the connected neighbour answers with the value. */
  async editLatency(value: FieldValue): Promise<number> {
    const held = this.neighbour.ask('untilHeld', [value])
    const startMs = await this.author.ask('set', [value])
    return (await held) - startMs
  }

  /** Ends both and starts the author again: milliseconds from starting the process until it listens, and bytes when idle. */
  async startAlone(): Promise<{ ms: number; residentBytes: number }> {
    await this.#stop()
    const startMs = monotonicMs()
    this.#author = await this.#open('author')
    await this.#author.ask('up', [])
    const ms = monotonicMs() - startMs
    await new Promise((resolve) => setTimeout(resolve, idleMs))
    return { ms, residentBytes: await this.#author.ask('memory') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#author?.[Symbol.asyncDispose]()
    await this.#neighbour?.[Symbol.asyncDispose]()
    await this.#proxy[Symbol.asyncDispose]()
  }

  get author(): Child<DeviceCommands> {
    if (this.#author === undefined) throw new Error('The author is not running.')
    return this.#author
  }

  get neighbour(): Child<DeviceCommands> {
    if (this.#neighbour === undefined) throw new Error('The neighbour is not running.')
    return this.#neighbour
  }

  async #open(name: 'author' | 'neighbour'): Promise<Child<DeviceCommands>> {
    const child = new Child<DeviceCommands>('device-process.ts')
    try {
      await child.ask('open', join(this.#directory, name))
    } catch (error) {
      await child.kill()
      throw error
    }
    return child
  }

  async #stop(): Promise<void> {
    for (const child of [this.#neighbour, this.#author]) {
      await child?.ask('close')
      await child?.[Symbol.asyncDispose]()
    }
    this.#neighbour = undefined
    this.#author = undefined
  }

  /** Killed; what it has kept is looked at before it meets anybody. */
  async #restartNeighbour(
    look: (neighbour: Child<DeviceCommands>) => Promise<void>,
  ): Promise<void> {
    await this.neighbour.kill()
    this.#neighbour = await this.#open('neighbour')
    await look(this.#neighbour)
    await this.#neighbour.ask('up', [this.#proxy.address])
    await this.#untilInSync()
  }

  async #cut(): Promise<void> {
    await this.#proxy.cut()
    await Promise.all([
      this.author.ask('untilDisconnected'),
      this.neighbour.ask('untilDisconnected'),
    ])
  }

  async #heal(): Promise<void> {
    this.#proxy.reset()
    await this.#proxy.heal()
  }

  async #untilInSync(): Promise<void> {
    await Promise.all([this.author.ask('untilInSync'), this.neighbour.ask('untilInSync')])
  }
}

export type Edit = { by: 'set' } | { by: 'import'; path: string }

export interface Updates {
  theirs: Edits
  by: 'set' | 'import'
  own: FieldValue[]
}

export interface Reconnect {
  traffic: Traffic
  /** See {@link ByteCountingProxy.crossings}. */
  crossings: number
}

/** Long against what either side computes for a reconnect. */
export const reconnectDelayMs = 50

/** A link that has carried nothing for so long is done with what it did, acknowledgements included. */
const settledMs = 300
/** Also catches what somebody says after a pause. */
export const nothingMoreMs = 1_500
const idleMs = 5_000

const sum = (traffic: Traffic): number => traffic.fromDialler + traffic.fromListener

/** One field of records all over the file, the last one included. */
function sampleOf({ records }: RecordsFile): FieldValue[] {
  const step = Math.max(1, Math.floor(records.length / 200))
  return records
    .filter((_, index) => (records.length - 1 - index) % step === 0)
    .map((record) => ({
      collection,
      id: recordId(record),
      field: 'length',
      json: JSON.stringify(record.length),
    }))
}
