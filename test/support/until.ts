/** Waiting for what another process does. */

/**
 * Waits for something that becomes true, and fails loudly when it does not.
 *
 * @param state - what is shown when the time is over
 */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  { withinMs = 20_000, state }: { withinMs?: number; state?: () => unknown } = {},
): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!(await isTrue())) {
    if (performance.now() > endMs) {
      const shown = state === undefined ? '' : `\n${JSON.stringify(await state(), undefined, 2)}`
      throw new Error(`not within ${withinMs} ms: ${what}${shown}`)
    }
    await pause(50)
  }
}

export function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, ms)
  return promise
}
