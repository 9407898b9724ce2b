import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { errorCodes } from '../../src/core/errors.ts'

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), 'utf8')
const rows = [...page.matchAll(/^\| `([A-Z_]+)` *\|(.*)\|(.*)\|$/gm)]

test('docs/errors.md explains every code, each once, and no other', () => {
  const codes = rows.map(([, code]) => String(code))
  expect(codes.toSorted()).toEqual([...errorCodes].toSorted())
})

test.each(rows.map(([, code, happened, todo]) => [code, happened, todo]))(
  '%s has what happened and what to do',
  (_, happened, todo) => {
    expect(happened?.trim()).toMatch(/\.$/)
    expect(todo?.trim()).toMatch(/\.$/)
  },
)
