/** The values of `count`: exact, so that the order in which they are added makes no difference. */

/** What one writer has counted in all, and what its last write added. Both are safe integers. */
export interface Count {
  readonly total: number
  readonly delta: number
}

/** The value of a `count`, or undefined when it is none. */
export function countOf(value: string | undefined): Count | undefined {
  const match = /^\[(-?\d{1,16}),(-?\d{1,16})\]$/.exec(value ?? '')
  if (match === null) return undefined
  const total = integerOf(match[1])
  const delta = integerOf(match[2])
  return total === undefined || delta === undefined ? undefined : { total, delta }
}

export function countText({ total, delta }: Count): string {
  return `[${total},${delta}]`
}

/** A safe integer in its shortest form; undefined for anything else. */
export function integerOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:0|-?[1-9]\d{0,15})$/.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : undefined
}
