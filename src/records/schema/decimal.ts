/**
 * Decimal numbers as people write them in JSON, computed exactly: 70.1 kg are 70100 g, and never 70099.99999999999.
 */

/** coefficient × 10^exponent */
interface Decimal {
  readonly coefficient: bigint
  readonly exponent: number
}

/** Digits, and the power of ten, of a number that is worth computing with: a longer one was not measured. */
const maxDigits = 400
const maxExponent = 400

/** Significant digits of a quotient that has no end: three more than the number was written with, at least six. */
const quotientDigits = { more: 3, least: 6 }

/** The change of a unit: new = old × factor + offset. */
export interface UnitChange {
  readonly factor: Decimal
  readonly offset: Decimal
}

/**
 * @param factor - JSON number, not 0
 * @param offset - JSON number
 * @returns undefined for what is no such change
 */
export function unitChange(factor: string, offset: string): UnitChange | undefined {
  const change = { factor: decimalOf(factor), offset: decimalOf(offset) }
  if (change.factor === undefined || change.offset === undefined) return undefined
  return change.factor.coefficient === 0n
    ? undefined
    : { factor: change.factor, offset: change.offset }
}

/** Exact. Undefined where the value is no number, or one beyond all measure. */
export function toNewUnit(value: string, { factor, offset }: UnitChange): string | undefined {
  const old = decimalOf(value)
  if (old === undefined) return undefined
  const product = {
    coefficient: old.coefficient * factor.coefficient,
    exponent: old.exponent + factor.exponent,
  }
  return textOf(sum(product, offset))
}

/** Exact where the quotient ends, rounded half to even where it does not. */
export function toOldUnit(value: string, { factor, offset }: UnitChange): string | undefined {
  const now = decimalOf(value)
  if (now === undefined) return undefined
  const dividend = sum(now, { ...offset, coefficient: -offset.coefficient })
  return textOf(quotient(dividend, factor, digitsOf(now.coefficient)))
}

/** Whether every number can be taken back: only then both versions show the same measure to the last digit. */
export function isExactBothWays({ factor }: UnitChange): boolean {
  return endsIn10(abs(factor.coefficient))
}

/** The number in its shortest form, the same for all lexemes of one number. */
export function shortestNumber(text: string): string | undefined {
  const decimal = decimalOf(text)
  return decimal === undefined ? undefined : textOf(decimal)
}

function decimalOf(text: string): Decimal | undefined {
  const match = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) return undefined
  const [, sign, whole, fraction = '', power = '0'] = match
  if (whole!.length + fraction.length > maxDigits || power.length > 5) return undefined
  const exponent = Number(power) - fraction.length
  if (Math.abs(exponent) > maxExponent) return undefined
  const digits = BigInt(whole! + fraction)
  return { coefficient: sign === '-' ? -digits : digits, exponent }
}

function sum(a: Decimal, b: Decimal): Decimal {
  const exponent = Math.min(a.exponent, b.exponent)
  const coefficient =
    a.coefficient * 10n ** BigInt(a.exponent - exponent) +
    b.coefficient * 10n ** BigInt(b.exponent - exponent)
  return { coefficient, exponent }
}

function quotient(dividend: Decimal, divisor: Decimal, written: number): Decimal {
  if (dividend.coefficient === 0n) return { coefficient: 0n, exponent: 0 }
  const negative = dividend.coefficient < 0n !== divisor.coefficient < 0n
  const [top, bottom] = [abs(dividend.coefficient), abs(divisor.coefficient)]
  const exponent = dividend.exponent - divisor.exponent
  const exact = endsIn10(bottom / gcd(top, bottom))
  // Each factor of 2 or 5 below needs one more decimal: its bits are an upper bound of how many there are.
  const shift = exact ? bottom.toString(2).length : decimalsOf(top, bottom, written)
  const scaled = top * 10n ** BigInt(shift)
  const coefficient = exact ? scaled / bottom : rounded(scaled, bottom)
  return { coefficient: negative ? -coefficient : coefficient, exponent: exponent - shift }
}

/** Decimals to which a quotient without end is rounded. */
function decimalsOf(top: bigint, bottom: bigint, written: number): number {
  const wanted = Math.max(quotientDigits.least, written + quotientDigits.more)
  const shift = Math.max(0, wanted + digitsOf(bottom) - digitsOf(top))
  const digits = digitsOf((top * 10n ** BigInt(shift)) / bottom)
  return Math.max(0, shift - (digits - wanted))
}

/** Half to even. */
function rounded(top: bigint, bottom: bigint): bigint {
  const floor = top / bottom
  const twice = (top % bottom) * 2n
  if (twice < bottom || (twice === bottom && floor % 2n === 0n)) return floor
  return floor + 1n
}

/** Whether one divided by it ends: it has no prime factors but 2 and 5. */
function endsIn10(positive: bigint): boolean {
  let rest = positive
  for (const prime of [2n, 5n]) while (rest % prime === 0n) rest /= prime
  return rest === 1n
}

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b)
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value
}

function digitsOf(coefficient: bigint): number {
  return abs(coefficient).toString().length
}

/** Without zeros at its end, and as JavaScript writes numbers: with a power of ten only where zeros would be hard to count. */
function textOf({ coefficient, exponent }: Decimal): string | undefined {
  if (coefficient === 0n) return '0'
  const sign = coefficient < 0n ? '-' : ''
  const all = abs(coefficient).toString()
  const digits = all.replace(/0+$/, '')
  const zeros = exponent + all.length - digits.length
  // The number is 0.digits × 10^point.
  const point = digits.length + zeros
  if (Math.abs(point) > maxExponent) return undefined
  if (point > 21 || point < -5) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : ''
    return `${sign}${digits[0]}${fraction}e${point > 0 ? '+' : ''}${point - 1}`
  }
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  if (point >= digits.length) return `${sign}${digits}${'0'.repeat(point - digits.length)}`
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}
