import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import {
  isExactBothWays,
  shortestNumber,
  toNewUnit,
  toOldUnit,
  unitChange,
} from '../../../src/records/schema/decimal.ts'

const grams = unitChange('1000', '0')!
const fahrenheit = unitChange('1.8', '32')!

test.each([
  ['70', '70000'],
  ['70.1', '70100'],
  ['70.10', '70100'],
  ['0.07', '70'],
  ['-0.5', '-500'],
  ['7e1', '70000'],
  ['0', '0'],
  ['1.23456789012345678901', '1234.56789012345678901'],
])('%s kg are %s g', (kg, g) => {
  expect(toNewUnit(kg, grams)).toBe(g)
})

test.each([
  ['70000', '70'],
  ['70100', '70.1'],
  ['1', '0.001'],
  ['0.000001', '1e-9'],
])('%s g are %s kg', (g, kg) => {
  expect(toOldUnit(g, grams)).toBe(kg)
})

test('rounds only what has no end', () => {
  expect(toNewUnit('37', fahrenheit)).toBe('98.6')
  expect(toOldUnit('98.6', fahrenheit)).toBe('37')
  expect(toOldUnit('100', fahrenheit)).toBe('37.7778')
  expect(toOldUnit('-100.55', fahrenheit)).toBe('-73.638889')
  expect(isExactBothWays(grams)).toBe(true)
  expect(isExactBothWays(fahrenheit)).toBe(false)
})

test('rounds half to even', () => {
  const thirds = unitChange('3', '0')!
  expect(toOldUnit('2', thirds)).toBe('0.666667')
  expect(toOldUnit('1', thirds)).toBe('0.333333')
})

test.each(['"70"', 'true', 'null', '[1]', '07', '1.', '1e999', '1e-401', ''])(
  '%s is no number to compute with',
  (text) => {
    expect(toNewUnit(text, grams)).toBeUndefined()
    expect(toOldUnit(text, grams)).toBeUndefined()
  },
)

test('a factor of 0 is none', () => {
  expect(unitChange('0.0', '1')).toBeUndefined()
  expect(unitChange('x', '1')).toBeUndefined()
})

const anyDecimal = fc
  .tuple(fc.maxSafeInteger(), fc.integer({ min: -12, max: 12 }))
  .map(([coefficient, exponent]) => shortestNumber(`${coefficient}e${exponent}`)!)

test.prop([anyDecimal, anyDecimal, anyDecimal])(
  'what was changed to the new unit comes back to the last digit',
  (value, factor, offset) => {
    fc.pre(factor !== '0')
    const unit = unitChange(factor, offset)!
    expect(toOldUnit(toNewUnit(value, unit)!, unit)).toBe(value)
  },
)

test.prop([anyDecimal])('the shortest text of a number is the same number', (value) => {
  expect(shortestNumber(value)).toBe(value)
  expect(Number(value)).toBe(Number(shortestNumber(value)))
})

test.prop([fc.double({ noNaN: true, noDefaultInfinity: true })])(
  'writes a number as JavaScript does',
  (value) => {
    const text = JSON.stringify(value)
    fc.pre(Math.abs(value) < 1e300 && (value === 0 || Math.abs(value) > 1e-300))
    expect(shortestNumber(text)).toBe(text)
  },
)
