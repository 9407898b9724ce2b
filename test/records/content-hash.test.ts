import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { recordHash } from '../../src/records/content-hash.ts'

test.prop([
  fc.uniqueArray(
    fc.record({
      field: fc.oneof(fc.string({ unit: 'grapheme' }), fc.string()),
      value: fc.string(),
    }),
    {
      selector: ({ field }) => field,
      minLength: 1,
    },
  ),
])('the order of fields, and a write that is there twice, make no difference', (fields) => {
  const live = fields.map(({ field, value }) => ({
    field,
    op: 'put',
    value: JSON.stringify(value),
  }))
  // A duplicate takes the general way, by bytes; without one, fields alone may tell the order.
  expect(recordHash('a', { live: [...live.toReversed(), live[0]!] })).toEqual(
    recordHash('a', { live }),
  )
})

test.prop([
  fc.array(fc.shuffledSubarray(['a', 'b', 'cc', 'dd', 'é'], { minLength: 1 }), { minLength: 1 }),
])('what was hashed before makes no difference', (records) => {
  const hashOf = (fields: string[]) =>
    recordHash('a', { live: fields.map((field) => ({ field, op: 'put', value: `"${field}"` })) })
  for (const fields of records) {
    const alone = hashOf(fields)
    hashOf(['z', 'y', 'x'])
    expect(hashOf(fields.toSorted())).toEqual(alone)
  }
})
