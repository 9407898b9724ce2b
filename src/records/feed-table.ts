/** The feeds that one feed has named in its contexts, by the indexes that its commits use for them. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'

const feedIdBytes = 16

/** A value: naming more feeds gives a new table, and indexes never change. */
export class FeedTable {
  readonly #feeds: readonly string[]
  readonly #indexes: ReadonlyMap<string, number>

  private constructor(feeds: readonly string[]) {
    this.#feeds = feeds
    this.#indexes = new Map(feeds.map((feed, index) => [feed, index]))
  }

  static readonly empty = new FeedTable([])

  get size(): number {
    return this.#feeds.length
  }

  /** In hex. */
  feedAt(index: number): string | undefined {
    return this.#feeds[index]
  }

  indexOf(feed: string): number | undefined {
    return this.#indexes.get(feed)
  }

  /** The table after a commit that names these feeds, in this order; those that it has keep their index. */
  naming(feeds: Iterable<string>): FeedTable {
    const added = new Set<string>()
    for (const feed of feeds) if (!this.#indexes.has(feed)) added.add(feed)
    return added.size === 0 ? this : new FeedTable([...this.#feeds, ...added])
  }

  /** The table when it had so many feeds: to read a commit again as it was read first. */
  first(count: number): FeedTable {
    return count >= this.size ? this : new FeedTable(this.#feeds.slice(0, count))
  }

  toBytes(): Uint8Array {
    const out = new ByteWriter(8 + this.#feeds.length * feedIdBytes)
    out.varint(this.#feeds.length)
    for (const feed of this.#feeds) out.bytes(hexToBytes(feed))
    return out.finish()
  }

  /** @throws HavenError `MALFORMED` */
  static fromBytes(bytes: Uint8Array): FeedTable {
    const reader = new ByteReader(bytes, 'table of feeds')
    const feeds: string[] = []
    for (let rest = reader.count(feedIdBytes, limits.clockFeeds); rest > 0; rest--) {
      feeds.push(bytesToHex(reader.bytes(feedIdBytes)))
    }
    reader.end()
    return new FeedTable(feeds)
  }
}
