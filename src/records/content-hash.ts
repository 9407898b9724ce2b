/** The content hash of a collection: docs/data-model.md. */
import { ByteWriter } from '../core/codec.ts'
import { domainBytes, domainHash, sha256 } from '../crypto/hash.ts'

const hashBytes = 32

interface HashedWrite {
  readonly field: string
  readonly op: string
  readonly value: string | undefined
}

/**
 * What one record adds to the content hash of its collection: 32 bytes, zero for a record that holds nothing.
 *
 * @param content.live - all live writes, in any order
 * @param content.free - the canonical update of its free types, undefined for none
 */
export function recordHash(
  id: string,
  { live, free }: { readonly live: readonly HashedWrite[]; readonly free?: Uint8Array | undefined },
): Uint8Array {
  if (free === undefined && live.length > 0) return hashOfWrites(id, live)
  const sum = new ContentSum()
  if (live.length > 0) sum.add(hashOfWrites(id, live))
  if (free !== undefined) {
    sum.add(domainHash('havenmesh/free/v1', new ByteWriter(id.length + 8).text(id).finish(), free))
  }
  return sum.toBytes()
}

const writesDomain = domainBytes('havenmesh/record/v1')

/** Used again for each record: this runs for every one that arrives. */
const scratch = new ByteWriter(4096)

function hashOfWrites(id: string, live: readonly HashedWrite[]): Uint8Array {
  const order = fieldOrder(live)
  if (order === undefined) {
    const list = inByteOrder(live)
    return sha256(scratch.clear().bytes(writesDomain).text(id).bytes(list).view())
  }
  scratch.clear().bytes(writesDomain).text(id).varint(live.length)
  for (const index of order) writeTo(scratch, live[index]!)
  return sha256(scratch.view())
}

/** Records of one kind mostly have the same fields in the same order: what was found for the last one. */
let lastOrder: { readonly fields: readonly string[]; readonly order: readonly number[] } = {
  fields: [],
  order: [],
}

/**
 * The usual case, one write a field: bytes sort as the fields do, the shorter name first, since its length comes first. Undefined where
 * that can't be seen so simply.
 */
function fieldOrder(live: readonly HashedWrite[]): readonly number[] | undefined {
  if (isLikeLast(live)) return lastOrder.order
  const order = live
    .map((_, index) => index)
    .toSorted((x, y) => {
      const a = live[x]!.field
      const b = live[y]!.field
      return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
    })
  for (const [i, index] of order.entries()) {
    const { field } = live[index]!
    if (i > 0 && field === live[order[i - 1]!]!.field) return undefined
    if (field.length >= 0x80 || !isAscii(field)) return undefined
  }
  lastOrder = { fields: live.map(({ field }) => field), order }
  return order
}

function isLikeLast(live: readonly HashedWrite[]): boolean {
  const { fields } = lastOrder
  if (fields.length !== live.length) return false
  for (let i = 0; i < fields.length; i++) if (live[i]!.field !== fields[i]) return false
  return true
}

function inByteOrder(live: readonly HashedWrite[]): Uint8Array {
  scratch.clear()
  const ends: number[] = []
  for (const write of live) {
    writeTo(scratch, write)
    ends.push(scratch.length)
  }
  const bytes = scratch.finish()
  const writes = ends
    .map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
    .toSorted((a, b) => Buffer.compare(a, b))
    .filter((write, i, all) => i === 0 || Buffer.compare(write, all[i - 1]!) !== 0)
  const out = new ByteWriter(bytes.length + 8).varint(writes.length)
  for (const write of writes) out.bytes(write)
  return out.finish()
}

function writeTo(out: ByteWriter, { field, op, value }: HashedWrite): void {
  out.text(field).text(op)
  if (value === undefined) out.u8(0)
  else out.u8(1).text(value)
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false
  return true
}

/** The sum of record hashes modulo 2^256: the order of additions does not matter, and each can be taken back. */
export class ContentSum {
  /** Big-endian, as everything that is sent. */
  readonly #words = new Uint32Array(hashBytes / 4)

  static fromBytes(bytes: Uint8Array): ContentSum {
    const sum = new ContentSum()
    sum.add(bytes)
    return sum
  }

  add(hash: Uint8Array): void {
    const view = viewOf(hash)
    let carry = 0
    for (let i = this.#words.length - 1; i >= 0; i--) {
      const total = this.#words[i]! + view.getUint32(i * 4) + carry
      this.#words[i] = total
      carry = total > 0xffff_ffff ? 1 : 0
    }
  }

  subtract(hash: Uint8Array): void {
    const view = viewOf(hash)
    let borrow = 0
    for (let i = this.#words.length - 1; i >= 0; i--) {
      const total = this.#words[i]! - view.getUint32(i * 4) - borrow
      this.#words[i] = total
      borrow = total < 0 ? 1 : 0
    }
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(hashBytes)
    const view = viewOf(bytes)
    for (const [i, word] of this.#words.entries()) view.setUint32(i * 4, word)
    return bytes
  }
}

function viewOf(hash: Uint8Array): DataView {
  if (hash.length !== hashBytes) throw new TypeError('a hash of a record has 32 bytes')
  return new DataView(hash.buffer, hash.byteOffset, hashBytes)
}
