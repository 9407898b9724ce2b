/** Waits between attempts: doubling up to a cap, each a quarter longer or shorter so that devices don't march in step. */
export function backoffMs(
  failures: number,
  { firstMs, capMs, random }: { firstMs: number; capMs: number; random: () => number },
): number {
  const plainMs = Math.min(capMs, firstMs * 2 ** Math.min(failures, 30))
  return plainMs * (0.75 + random() / 2)
}
