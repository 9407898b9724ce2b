/** Every way in which bytes can be cut short, each one bit flip, and one byte more: what no reader may accept. */
export function* damaged(bytes: Uint8Array): Generator<{ how: string; bytes: Uint8Array }> {
  for (let length = 0; length < bytes.length; length++) {
    yield { how: `cut to ${length} bytes`, bytes: bytes.slice(0, length) }
  }
  yield { how: 'a byte longer', bytes: Uint8Array.of(...bytes, 0) }
  yield* flipped(bytes)
}

export function* flipped(bytes: Uint8Array): Generator<{ how: string; bytes: Uint8Array }> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice()
    changed[bit >> 3]! ^= 1 << (bit & 7)
    yield { how: `bit ${bit} flipped`, bytes: changed }
  }
}
