import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test('there are at least 10,000 random histories of records in each run', () => {
  const folder = join(import.meta.dirname, '../records')
  let count = 0
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.property.test.ts')) continue
    const text = readFileSync(join(folder, name), 'utf8')
    for (const [, usual] of text.matchAll(/histories\((\d+)\)/g)) count += Number(usual)
  }
  expect(count).toBeGreaterThanOrEqual(10_000)
})
