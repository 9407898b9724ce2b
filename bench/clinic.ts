import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Chance } from '../test/sync/support/chance.ts'
import { Child, monotonicMs } from './child.ts'
import type { DeviceCommands, FieldValue } from './device-process.ts'
import { collection, fieldsOf, type RecordsFile } from './records-file.ts'
import { storedRecordBytes } from './stored-record.ts'

/** What one record takes. */
export interface RecordSize {
  /** Bytes of plaintext that the store keeps of it. */
  stored: number
  /** Of its document, as Yjs V1. */
  document: number
}

/**
 * Four devices of one mesh, in processes of their own, that edit the same record over and over. They meet over 127.0.0.1: all
 * of them know the first one's address, and it passes on what the others write.
 */
export class Clinic implements AsyncDisposable {
  readonly #directory: string
  readonly #devices: Child<DeviceCommands>[] = []
  readonly #chance = new Chance(1)
  /** Where values of the right kind come from. */
  readonly #records: RecordsFile

  private constructor(directory: string, records: RecordsFile) {
    this.#directory = directory
    this.#records = records
  }

  /** Founds the mesh and lets the others join. */
  static async enrol(directory: string, records: RecordsFile): Promise<Clinic> {
    const clinic = new Clinic(directory, records)
    try {
      for (let number = 0; number < deviceCount; number++) await clinic.#open(number)
      await clinic.first.ask('found')
      await clinic.first.ask('up', [])
      for (const other of clinic.#others) await other.ask('join', await clinic.first.ask('invite'))
    } catch (error) {
      await clinic[Symbol.asyncDispose]()
      throw error
    }
    return clinic
  }

  get first(): Child<DeviceCommands> {
    return this.#devices[0]!
  }

  /** The first device writes a record of twenty fields, always the same ones; resolves with its id. */
  async write(name: string): Promise<string> {
    // As long as all the others.
    const id = `Encounter/${name.padEnd(36, '-')}`
    await this.first.ask('write', { collection, id, fields: fieldsOf(this.#records.records[0]!) })
    return id
  }

  /** So many edits of one field each, by all devices in turn, while they are connected. */
  async editTogether(id: string, count: number): Promise<void> {
    await this.#meet()
    for (let left = count; left > 0; left -= editsAtOnce) {
      const edits = this.#edits(id, Math.min(left, editsAtOnce))
      await this.#all((device, number) => device.ask('set', edits[number]!))
      await this.#untilSame()
    }
  }

  /**
   * The same while each is out alone, in so many days; in the evening they meet.
   *
   * @param how.restarts - of all devices together, spread over their edits
   */
  async editApart(
    id: string,
    { edits, days, restarts = 0 }: { edits: number; days: number; restarts?: number },
  ): Promise<void> {
    const restartsADay = Math.round(restarts / days / deviceCount)
    for (let day = 0; day < days; day++) {
      const planned = this.#edits(id, Math.round(edits / days))
      await this.#all(async (device, number) => {
        await device.ask('reopen', this.#placeOf(device))
        const own = planned[number]!
        const between = Math.ceil(own.length / (restartsADay + 1))
        for (let at = 0; at < own.length; at += between) {
          if (at > 0) await device.ask('reopen', this.#placeOf(device))
          await device.ask('set', own.slice(at, at + between))
        }
      })
      await this.#meet()
    }
  }

  /** At the first device, which is alone afterwards. */
  async sizeOf(id: string): Promise<RecordSize> {
    const document = await this.first.ask('documentBytes', { collection, id })
    const place = this.#placeOf(this.first)
    await this.first.ask('close')
    const stored = await storedRecordBytes(place, id)
    await this.first.ask('open', place)
    return { stored, document }
  }

  /** All begin anew, connected, and have all that there is when it resolves. */
  async #meet(): Promise<void> {
    await this.#all((device) => device.ask('reopen', this.#placeOf(device)))
    const address = await this.first.ask('up', [])
    for (const other of this.#others) await other.ask('up', [address])
    await this.#untilSame()
  }

  /** The first goes on alone, with so many records more than before. */
  async grow(file: RecordsFile): Promise<void> {
    for (const other of this.#devices.splice(1)) await other[Symbol.asyncDispose]()
    await this.first.ask('importFile', { path: file.path, records: file.records.length })
  }

  /**
   * In a process that has read none of these records yet: milliseconds of `get` for each.
   *
   * @param ids - the first few are read by code that has hardly run yet
   */
  async readCold(ids: readonly string[]): Promise<number[]> {
    await this.first.ask('close')
    await this.first[Symbol.asyncDispose]()
    this.#devices.splice(0)
    await this.#open(0)
    return this.first.ask('timeGets', { collection, ids: [...ids] })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const device of this.#devices) await device[Symbol.asyncDispose]()
  }

  get #others(): Child<DeviceCommands>[] {
    return this.#devices.slice(1)
  }

  async #open(number: number): Promise<void> {
    const device = new Child<DeviceCommands>('device-process.ts')
    this.#devices[number] = device
    const place = this.#placeOf(device)
    mkdirSync(place, { recursive: true })
    await device.ask('open', place)
  }

  #placeOf(device: Child<DeviceCommands>): string {
    return join(this.#directory, `device-${this.#devices.indexOf(device)}`)
  }

  async #all(
    work: (device: Child<DeviceCommands>, number: number) => Promise<unknown>,
  ): Promise<void> {
    await Promise.all(this.#devices.map(work))
  }

  /** By device: of fields and values that chance picks, all of them new. */
  #edits(id: string, count: number): FieldValue[][] {
    const edits: FieldValue[][] = Array.from({ length: deviceCount }, () => [])
    for (let i = 0; i < count; i++) {
      const [field, json] = this.#chance.pick(fieldsOf(this.#chance.pick(this.#records.records)))
      edits[i % deviceCount]!.push({ collection, id, field, json })
    }
    return edits
  }

  async #untilSame(): Promise<void> {
    const deadlineMs = monotonicMs() + meetWithinMs
    for (;;) {
      const digests = await Promise.all(this.#devices.map((device) => device.ask('digest')))
      if (new Set(digests).size === 1) return
      if (monotonicMs() > deadlineMs) throw new Error('The devices did not come to hold the same.')
      await setTimeout(pollMs)
    }
  }
}

const deviceCount = 4
const editsAtOnce = 100
const pollMs = 10
const meetWithinMs = 60_000
