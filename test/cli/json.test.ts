import { fc, test as propertyTest } from '@fast-check/vitest'
import { expect, test } from 'vitest'

import { jsonText, RawJson } from '../../src/cli/json.ts'

test('keeps the digits of a number as they were written', () => {
  const text = jsonText({ dose: new RawJson('1.50'), far: new RawJson('1e400') })
  expect(text).toBe('{"dose":1.50,"far":1e400}')
})

test('writes names that mean something to JavaScript like any other', () => {
  const fields = new Map([
    ['__proto__', new RawJson('{"__proto__":1}')],
    ['constructor', new RawJson('2')],
  ])
  expect(jsonText({ fields })).toBe('{"fields":{"__proto__":{"__proto__":1},"constructor":2}}')
})

test('leaves out what is undefined and writes null for what is unknown', () => {
  expect(jsonText({ a: undefined, b: null })).toBe('{"b":null}')
})

propertyTest.prop([fc.jsonValue()])('writes what JSON.stringify writes', (value) => {
  expect(jsonText(value as object)).toBe(JSON.stringify(value))
})
