/** A place in a feed: a commit named by its number and the start of its id. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import type { ByteReader, ByteWriter } from '../core/codec.ts'

export interface FeedPlace {
  /** Feed id in hex. */
  readonly feed: string
  readonly seq: number
  /** The first 8 bytes of the commit's id, in hex. */
  readonly head: string
}

/** `list(b16 feed · varint seq · b8 head)` */
export function writeFeedPlaces(writer: ByteWriter, places: readonly FeedPlace[]): void {
  writer.varint(places.length)
  for (const { feed, seq, head } of places) {
    writer.bytes(hexToBytes(feed)).varint(seq).bytes(hexToBytes(head))
  }
}

/** @throws HavenError `MALFORMED` */
export function readFeedPlaces(reader: ByteReader): FeedPlace[] {
  return Array.from({ length: reader.count(25) }, () => ({
    feed: bytesToHex(reader.bytes(16)),
    seq: reader.varint(),
    head: bytesToHex(reader.bytes(8)),
  }))
}
