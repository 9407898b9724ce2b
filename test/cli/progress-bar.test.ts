import { expect, test } from 'vitest'

import { progressBar } from '../../src/cli/progress-bar.ts'

test('shows how far an import is, how fast, and how long it will take', async () => {
  const { output, written } = recorder({ isTerminal: true })
  let now = 0
  {
    await using bar = progressBar(output, { totalBytes: 24_000_000, nowMs: () => now })
    now = 1_000
    bar.update({ records: 1_240, bytes: 8_000_000 })
    now = 1_050
    bar.update({ records: 1_300, bytes: 8_100_000 })
  }
  expect(written).toEqual([
    '\r\u001b[K████████░░░░░░░░░░░░░░░░  33 %   1,240 records   8.0 MB/s   2 s left',
    '\r\u001b[K',
  ])
})

test('shows no part of a whole that is not known', async () => {
  const { output, written } = recorder({ isTerminal: true })
  progressBar(output, { totalBytes: undefined, nowMs: () => 0 }).update({ records: 1, bytes: 700 })
  expect(written).toEqual(['\r\u001b[K1 record   0 B/s'])
})

test('is silent where there is no terminal', async () => {
  const { output, written } = recorder({ isTerminal: false })
  await using bar = progressBar(output, { totalBytes: 10, nowMs: () => 0 })
  bar.update({ records: 1, bytes: 10 })
  expect(written).toEqual([])
})

function recorder({ isTerminal }: { isTerminal: boolean }) {
  const written: string[] = []
  const output = {
    isTerminal,
    columns: 80,
    rows: 24,
    closed: new AbortController().signal,
    write: async (text: string) => {
      written.push(text)
    },
  }
  return { output, written }
}
