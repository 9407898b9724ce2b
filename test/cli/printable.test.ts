import { expect, test } from 'vitest'

import { padded, table, truncated, widthOf } from '../../src/cli/cells.ts'
import { printable } from '../../src/cli/printable.ts'

test('shows what would steer a terminal, and hides nothing', () => {
  expect(printable('a\u001b]0;owned\u0007b\r\n')).toBe('a\\u001b]0;owned\\u0007b\\u000d\\u000a')
  expect(printable('left\u202eright\u2066')).toBe('left\\u202eright\\u2066')
  expect(printable('\u009b31m')).toBe('\\u009b31m')
})

test('leaves every script as it is', () => {
  for (const name of ['Agustín', 'محمد', 'Олена', '李小龙']) expect(printable(name)).toBe(name)
})

test('counts the cells that text takes', () => {
  expect([widthOf('abc'), widthOf('e\u0301'), widthOf('李')]).toEqual([3, 1, 2])
  expect(padded('李', 4)).toBe('李  ')
  expect(truncated('abcdef', 4)).toBe('abc…')
  expect(truncated('李小龙', 4)).toBe('李…')
  expect(truncated('abcd', 4)).toBe('abcd')
})

test('aligns columns', () => {
  expect(
    table([
      ['a', 'bb', 'c'],
      ['aaa', 'b', ''],
    ]),
  ).toBe('  a     bb   c\n  aaa   b')
})
