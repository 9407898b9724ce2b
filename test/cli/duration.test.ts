import { expect, test } from 'vitest'

import { bytesText, countText, durationText } from '../../src/cli/amounts.ts'
import { parseTtlMs } from '../../src/cli/duration.ts'

test.each([
  ['90s', 90_000],
  ['10m', 600_000],
  ['2h', 7_200_000],
  ['7d', 604_800_000],
])('reads %s', (text, ms) => {
  expect(parseTtlMs(text)).toBe(ms)
})

test.each(['', '10', 'm', '10 m', '-1m', '1.5h', '10M', '0s', '8d', '99999999999999d', '10m\n'])(
  'refuses %j',
  (text) => {
    expect(() => parseTtlMs(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  },
)

test('amounts read like sentences', () => {
  expect([countText(1, 'commit'), countText(1234, 'commit')]).toEqual(['1 commit', '1,234 commits'])
  expect([durationText(90_000), durationText(7_200_000)]).toEqual(['1 minute', '2 hours'])
  expect([bytesText(820), bytesText(1_234), bytesText(61_000), bytesText(1_400_000)]).toEqual([
    '820 B',
    '1.2 kB',
    '61 kB',
    '1.4 MB',
  ])
})
