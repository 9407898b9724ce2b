import { expect, test } from 'vitest'

import { importFormat } from '../../src/cli/import-format.ts'

const patient = '{"resourceType":"Patient","id":"1"}'

test.each([
  ['lines', '-', `${patient}\n${patient}\n`, 'ndjson'],
  ['one line', 'a.json', patient, 'ndjson'],
  ['a damaged first line before others', '-', `{"resourceType":"Pat\n${patient}\n`, 'ndjson'],
  ['a resource over several lines', 'a.json', '{\n  "resourceType": "Patient"\n}', 'json'],
  ['a Bundle on one line', 'a.json', '{"resourceType":"Bundle","entry":[]}', 'json'],
  [
    'a Bundle with an entry a line',
    '-',
    `{"resourceType":"Bundle","entry":[\n${patient}]}`,
    'json',
  ],
  ['a truncated single document', 'a.json', '{"resourceType":"Pat', 'json'],
  ['a name that ends in .ndjson', 'a.ndjson', '{\n  "resourceType"', 'ndjson'],
  ['nothing', 'a.json', ' \n', 'ndjson'],
])('recognises %s', (_, name, text, format) => {
  expect(importFormat(name, text, true)).toBe(format)
})

test('takes a line that is longer than what was looked at for a line', () => {
  expect(importFormat('-', `{"resourceType":"Binary","data":"${'A'.repeat(1e5)}`, false)).toBe(
    'ndjson',
  )
})
