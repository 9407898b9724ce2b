/**
 * Arrays as parameters of statements, in PostgreSQL's binary form: the text form would write every byte as two hex digits, and have
 * the server read them.
 *
 * `i32 dimensions · i32 has nulls · u32 type of the elements · i32 count · i32 first index · (i32 length, -1: null · bytes)*`
 */

/** Object ids of types; they are the same in every PostgreSQL, and in engines that speak its protocol. */
const typeIds = { bytea: 17, int8: 20 } as const
const headBytes = 20

/** For `$n::bytea[]`. */
export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  const length = values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 0)
  const array = emptyArray(typeIds.bytea, values, length)
  let at = headBytes
  for (const value of values) {
    at = array.writeInt32BE(value?.length ?? -1, at)
    if (value === null) continue
    array.set(value, at)
    at += value.length
  }
  return array
}

/** For `$n::bigint[]`. */
export function bigintArray(values: readonly (number | null)[]): Buffer {
  const length = values.reduce<number>((sum, value) => sum + (value === null ? 4 : 12), 0)
  const array = emptyArray(typeIds.int8, values, length)
  let at = headBytes
  for (const value of values) {
    at = array.writeInt32BE(value === null ? -1 : 8, at)
    if (value !== null) at = array.writeBigInt64BE(BigInt(value), at)
  }
  return array
}

function emptyArray(typeId: number, values: readonly unknown[], length: number): Buffer {
  const array = Buffer.alloc(headBytes + length)
  array.writeInt32BE(1, 0)
  array.writeInt32BE(values.includes(null) ? 1 : 0, 4)
  array.writeInt32BE(typeId, 8)
  array.writeInt32BE(values.length, 12)
  array.writeInt32BE(1, 16)
  return array
}
