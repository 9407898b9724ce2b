import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { limits } from '../../src/core/limits.ts'

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'security.md'), 'utf8')
const rows = [...page.matchAll(/^\| `(\w+)` *\| *([\d,]+) *\| *(.*?) *\| *(.*?) *\|$/gm)]

test('docs/security.md has every limit once, with its number, in their order', () => {
  const documented = rows.map(([, name, number]) => [name, Number(number?.replaceAll(',', ''))])
  expect(documented).toEqual(Object.entries(limits))
})

const units: Record<string, number> = {
  KiB: 1024,
  MiB: 1024 * 1024,
  s: 1000,
  h: 60 * 60 * 1000,
  days: 24 * 60 * 60 * 1000,
}

test.each(
  rows.filter(([, , , is]) => is !== '').map(([, name, number, is]) => ({ name, number, is })),
)('$name is $is', ({ number, is }) => {
  const [amount, unit] = String(is).split(' ')
  expect(Number(amount) * (units[unit!] ?? Number.NaN)).toBe(Number(number?.replaceAll(',', '')))
})
