import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  bytesToHex,
  compareBytes,
  concatBytes,
  equalBytes,
  hexToBytes,
} from '../../src/core/bytes.ts'
import { ByteReader, ByteWriter } from '../../src/core/codec.ts'
import { HavenError } from '../../src/core/errors.ts'

const bytes = fc.uint8Array({ maxLength: 80 })
const text = fc.string({ maxLength: 30, unit: 'binary' }).filter((each) => each.isWellFormed())

type NumberKind = 'u8' | 'u16' | 'u32' | 'u64' | 'varint'
type Item =
  | { kind: NumberKind; value: number }
  | { kind: 'bytes' | 'lengthPrefixed'; value: Uint8Array }
  | { kind: 'text'; value: string }

const upTo = (kind: NumberKind, max: number) =>
  fc
    .oneof(fc.integer({ min: 0, max }), fc.nat(Math.min(max, 300)), fc.constant(max))
    .map((value) => ({ kind, value }))
const item: fc.Arbitrary<Item> = fc.oneof(
  upTo('u8', 0xff),
  upTo('u16', 0xffff),
  upTo('u32', 0xffff_ffff),
  upTo('u64', Number.MAX_SAFE_INTEGER),
  upTo('varint', Number.MAX_SAFE_INTEGER),
  bytes.map((value) => ({ kind: 'bytes' as const, value })),
  bytes.map((value) => ({ kind: 'lengthPrefixed' as const, value })),
  text.map((value) => ({ kind: 'text' as const, value })),
)

function write(items: readonly Item[]): Uint8Array {
  const writer = new ByteWriter(1)
  for (const each of items) {
    if (typeof each.value === 'number') writer[each.kind as NumberKind](each.value)
    else if (typeof each.value === 'string') writer.text(each.value)
    else writer[each.kind as 'bytes'](each.value)
  }
  return writer.finish()
}

function read(encoded: Uint8Array, items: readonly Item[]): unknown[] {
  const reader = new ByteReader(encoded, 'test')
  const values = items.map((each) => {
    if (each.kind === 'text') return reader.text(1_000)
    if (each.kind === 'bytes') return reader.bytes(each.value.length).slice()
    if (each.kind === 'lengthPrefixed') return reader.lengthPrefixed(80).slice()
    return reader[each.kind]()
  })
  reader.end()
  return values
}

describe('the codec', () => {
  test.prop([fc.array(item, { maxLength: 12 })])('reads what it wrote', (items) => {
    expect(read(write(items), items)).toEqual(items.map(({ value }) => value))
  })

  test.prop([fc.array(item, { minLength: 1, maxLength: 6 }), fc.nat()])(
    'refuses what was cut short or goes on',
    (items, at) => {
      const encoded = write(items)
      if (encoded.length > 0)
        expect(() => read(encoded.slice(0, at % encoded.length), items)).toThrow(HavenError)
      expect(() => read(Uint8Array.of(...encoded, 0), items)).toThrow(HavenError)
    },
  )

  test.prop([fc.uint8Array({ minLength: 1, maxLength: 10 })])(
    'has one form for each varint',
    (any) => {
      const reader = new ByteReader(any, 'test')
      let value: number
      try {
        value = reader.varint()
      } catch (error) {
        expect(error).toBeInstanceOf(HavenError)
        return
      }
      expect(new ByteWriter().varint(value).finish()).toEqual(any.slice(0, reader.offset))
    },
  )

  test.prop([fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 })])(
    'writes hex as the bytes that it stands for',
    (parts) => {
      const [writer, other] = [new ByteWriter(1), new ByteWriter(1)]
      for (const part of parts) writer.hex(bytesToHex(part))
      for (const part of parts) other.bytes(part)
      expect(writer.finish()).toEqual(other.finish())
    },
  )

  it('refuses hex that is none', () => {
    for (const hex of ['0', 'AB', '0g', ' 0', '/:', '`a'])
      expect(() => new ByteWriter().hex(hex)).toThrow(TypeError)
  })

  it('refuses numbers beyond 2^53, and varints that are longer than they need be', () => {
    for (const hex of ['ffffffffffffff7f', 'ffffffffffffffff01', '8000', '8080808080808000', '80'])
      expect(() => new ByteReader(hexToBytes(hex), 'test').varint()).toThrow(HavenError)
    expect(new ByteReader(hexToBytes('ffffffffffffff0f'), 'test').varint()).toBe(2 ** 53 - 1)
    expect(() => new ByteReader(hexToBytes('0020000000000000'), 'test').u64()).toThrow(HavenError)
    expect(new ByteReader(hexToBytes('001fffffffffffff'), 'test').u64()).toBe(2 ** 53 - 1)
  })

  it('refuses to write what is no number of the size', () => {
    for (const value of [-1, 0.5, NaN, 256])
      expect(() => new ByteWriter().u8(value)).toThrow(TypeError)
    for (const value of [-1, 2 ** 53])
      expect(() => new ByteWriter().varint(value)).toThrow(TypeError)
  })

  it('refuses counts and lengths before it makes room for them', () => {
    const huge = new ByteWriter().varint(2 ** 50).finish()
    expect(() => new ByteReader(huge, 'test').count(1)).toThrow(HavenError)
    expect(() => new ByteReader(huge, 'test').lengthPrefixed(100)).toThrow(HavenError)
    expect(() => new ByteReader(Uint8Array.of(3, 1, 1, 1), 'test').count(1, 2)).toThrow(HavenError)
    expect(() => new ByteReader(Uint8Array.of(2, 0xc3, 0x28), 'test').text(10)).toThrow(HavenError)
  })
})

describe('bytes', () => {
  test.prop([bytes])('become hex and bytes again', (any) => {
    expect(hexToBytes(bytesToHex(any))).toEqual(any)
  })

  test.prop([bytes, bytes])('are ordered as their hex is', (a, b) => {
    const order = Math.sign(compareBytes(a, b))
    expect(order).toBe(bytesToHex(a) < bytesToHex(b) ? -1 : bytesToHex(a) > bytesToHex(b) ? 1 : 0)
    expect(equalBytes(a, b)).toBe(order === 0)
    expect(Math.sign(compareBytes(b, a)) + order).toBe(0)
  })

  test.prop([fc.array(bytes)])('are joined in their order', (parts) => {
    expect(bytesToHex(concatBytes(...parts))).toBe(parts.map(bytesToHex).join(''))
  })

  it('come from lower-case hex of even length only', () => {
    for (const hex of ['0', 'AB', 'zz', '0x', ' 00'])
      expect(() => hexToBytes(hex)).toThrow(TypeError)
  })
})
