/** The schemas of the collections, as control facts have brought them, and the readings that follow from them. */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { isHavenError } from '../core/errors.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import type { AnnouncedSchema } from '../identity/schema-announcement.ts'
import type { Reading } from '../records/reading.ts'
import { builtInReading, SchemaBook, type KnownSchema } from '../records/schema/schema-book.ts'
import { parseSchemaDocument } from '../records/schema/schema-parser.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import type { ControlPlane } from './control-plane.ts'

/** A version that an admin announced. */
export interface HeardSchema {
  readonly version: number
  /** The admin's device. */
  readonly author: string
  readonly time: HybridTime
  /** False where another admin had announced the same version before. */
  readonly counts: boolean
  /** Undefined: there is no key for it yet. */
  readonly text: string | undefined
  /** Records can be read and written by it here. */
  readonly understood: boolean
}

interface Opened {
  readonly text: string
  /** Undefined: the text is none that this program understands. */
  readonly known: KnownSchema | undefined
}

interface CollectionState {
  readonly book: SchemaBook
  readonly reading: Reading
  readonly heard: readonly HeardSchema[]
}

const none: CollectionState = { book: new SchemaBook([]), reading: builtInReading, heard: [] }

export class Schemas {
  readonly #control: ControlPlane
  readonly #store: CommitStore
  /** By what is sealed: facts don't change. */
  readonly #opened = new WeakMap<Uint8Array, Opened>()
  readonly #pins = new Map<string, number>()
  #states = new Map<string, CollectionState>()

  constructor(control: ControlPlane, store: CommitStore) {
    this.#control = control
    this.#store = store
  }

  /** After the control plane. */
  async restore(): Promise<void> {
    for (const { name, value } of await this.#store.secrets(pinPrefix)) {
      this.#pins.set(name.slice(pinPrefix.length), new ByteReader(value, 'pin').varint())
    }
    this.refresh()
  }

  /**
   * Facts, keys or pins have changed. To be called while nobody derives anything from a reading.
   *
   * @returns the collections that are read in another way than before
   */
  refresh(): string[] {
    const before = this.#states
    this.#states = new Map()
    const changed: string[] = []
    for (const collection of this.#control.membership.collections.keys()) {
      const state = this.#stateOf(collection)
      const digest = (before.get(collection) ?? none).reading.digest
      this.#states.set(collection, state)
      if (state.reading.digest !== digest) changed.push(collection)
    }
    return changed
  }

  /** The same until the next {@link refresh}. */
  readingOf(collection: string): Reading {
    return (this.#states.get(collection) ?? none).reading
  }

  bookOf(collection: string): SchemaBook {
    return (this.#states.get(collection) ?? none).book
  }

  /** The lowest version first. */
  heardOf(collection: string): readonly HeardSchema[] {
    return (this.#states.get(collection) ?? none).heard
  }

  /** The version that records are read and written by here, whatever newer ones there are. */
  pinOf(collection: string): number | undefined {
    return this.#pins.get(collection)
  }

  /** Durable when it resolves. A {@link refresh} has to follow. */
  async pin(collection: string, version: number | undefined): Promise<void> {
    const value = version === undefined ? undefined : new ByteWriter(8).varint(version).finish()
    await this.#store.batch([{ kind: 'secret', name: `${pinPrefix}${collection}`, value }])
    if (version === undefined) this.#pins.delete(collection)
    else this.#pins.set(collection, version)
  }

  #stateOf(collection: string): CollectionState {
    const announced = this.#control.membership.schemas(collection)
    const opened = announced.map((each) => this.#open(each))
    const book = new SchemaBook(
      announced.flatMap(({ counts }, index) => (counts ? (opened[index]?.known ?? []) : [])),
    )
    const heard = announced.map(({ version, author, time, counts }, index) => ({
      version,
      author,
      time,
      counts,
      text: opened[index]?.text,
      understood: counts && book.versions.includes(version),
    }))
    return { book, reading: book.reading(this.#pins.get(collection)), heard }
  }

  #open(announced: AnnouncedSchema): Opened | undefined {
    const known = this.#opened.get(announced.schema)
    if (known !== undefined) return known
    const text = this.#control.openSchema(announced.schema)
    if (text === null) return undefined
    const opened = { text, known: understand(text, announced.version) }
    this.#opened.set(announced.schema, opened)
    return opened
  }
}

const pinPrefix = 'schema-pin/'

function understand(text: string, version: number): KnownSchema | undefined {
  try {
    const document = parseSchemaDocument(text)
    return document.version === version ? { document, text } : undefined
  } catch (error) {
    // Of a newer version of this program: records that are written by it show as such.
    if (isHavenError(error)) return undefined
    throw error
  }
}
