import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { fromPlain, toPlain } from '../../src/daemon/lossless-json.ts'

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(undefined, null, true, 0.5, 'text'),
    fc.array(tie('value')),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((entries) => new Map(entries)),
    fc
      .array(fc.tuple(fc.constantFrom('$', '__proto__', 'entries', 'a'), tie('value')))
      .map((entries) => Object.fromEntries(entries)),
  ),
}))

test.prop([value])('what a result is made of comes back as it was', (given) => {
  expect(fromPlain(JSON.parse(JSON.stringify(toPlain(given))))).toStrictEqual(given)
})

test('a list of another kind becomes an array', () => {
  expect(toPlain({ fields: new Map([['a', '1']]).entries() })).toEqual({ fields: [['a', '1']] })
})

test.each([
  { $: 'date' },
  { $: 'map' },
  { $: 'map', entries: [['a']] },
  { $: 'object', entries: {} },
])('refuses %j', (plain) => {
  expect(() => fromPlain(plain)).toThrow(/tag|entr/)
})
