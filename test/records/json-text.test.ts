import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import {
  compactJson,
  elementsOf,
  isCompactJson,
  membersOf,
  replaceStrings,
} from '../../src/records/json-text.ts'

describe('JSON as text', () => {
  test.prop([fc.jsonValue(), fc.constantFrom(0, 1, '\t')])(
    'loses its white space and nothing else',
    (value, indent) => {
      expect(compactJson(JSON.stringify(value, null, indent))).toBe(JSON.stringify(value))
      expect(isCompactJson(JSON.stringify(value))).toBe(true)
    },
  )

  test('keeps number lexemes, escapes, order and unusual names', () => {
    const text =
      ' {"b" : 1.00 , "a":-0.0e+2,"__proto__":{ "x" : [ 1 , "\\u0041 \\/" ] },"\\u0063":null} '
    expect(membersOf(text)).toEqual([
      ['b', '1.00'],
      ['a', '-0.0e+2'],
      ['__proto__', '{"x":[1,"\\u0041 \\/"]}'],
      ['c', 'null'],
    ])
    expect(elementsOf('[ 1.0, [2] , "a b" ]')).toEqual(['1.0', '[2]', '"a b"'])
    expect(membersOf('{ }')).toEqual([])
    expect(elementsOf('[ ]')).toEqual([])
  })

  test.each([
    '',
    ' ',
    '{',
    '[1,]',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
    '01',
    '1.',
    '.5',
    '+1',
    '1e',
    '-',
    'NaN',
    'tru',
    'nullx',
    '"',
    '"\n"',
    '"\\x41"',
    '"\\u12g4"',
    '"\ud800"',
    '[1 2]',
    '{"a" 1}',
    '{} {}',
    '\u00a01',
    '\ufeff{}',
    '{"a":1,"a":2}',
    '[{"a":1,"\\u0061":2}]',
    `{${Array.from({ length: 40 }, (_, i) => `"${i % 39}":1`).join(',')}}`,
    '['.repeat(129) + ']'.repeat(129),
  ])('is refused: %s', (text) => {
    expect(() => compactJson(text)).toThrow(expect.objectContaining({ code: 'JSON_INVALID' }))
    expect(isCompactJson(text)).toBe(false)
  })

  test('says where, and nothing of the content', () => {
    expect(() => membersOf('{\n  "name": "Ada",\n  "x": oops\n}')).toThrow(
      'The JSON has no value here (line 3, column 8).',
    )
  })

  test('goes 128 levels deep', () => {
    const text = '['.repeat(128) + ']'.repeat(128)
    expect(compactJson(text)).toBe(text)
  })

  test.prop([fc.string()])('agrees with JSON.parse on what is valid', (text) => {
    let valid = true
    try {
      JSON.parse(text)
    } catch {
      valid = false
    }
    if (isCompactJson(text)) expect(valid).toBe(true)
  })

  test('replaces strings of one member, wherever it stands', () => {
    const text =
      '{"reference":"a", "x":[{"reference" : "\\u0061"},{"reference":["a"]},"a"],"r":"a"}'
    expect(replaceStrings(text, 'reference', (value) => (value === 'a' ? 'B' : undefined))).toBe(
      '{"reference":"B","x":[{"reference":"B"},{"reference":["a"]},"a"],"r":"a"}',
    )
  })
})

test.prop([
  fc.array(
    fc.constantFrom('{"a":[1,2]}', '{"a":[1 2]}', '{"a":[1,2}}', '{"b":[1,2]}', '["a","b"]'),
    {
      maxLength: 20,
    },
  ),
])('a text is judged by itself, whatever was judged before', (texts) => {
  for (const text of texts) {
    const isCompact = !text.includes(' ') && !text.includes('}}')
    expect(isCompactJson(text)).toBe(isCompact)
  }
})
