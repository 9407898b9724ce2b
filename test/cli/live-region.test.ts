import { expect, test } from 'vitest'

import { liveRegion } from '../../src/cli/live-region.ts'

test('draws over what it drew before, and counts the rows of a tail that wraps', async () => {
  const { output, written } = terminal({ columns: 20, rows: 10 })
  const region = liveRegion(output)
  await region.draw(['one', 'a line that is longer than that'], ['y'.repeat(45)])
  await region.draw(['two'])
  expect(written).toEqual([
    `one\u001b[K\na line that is lon…\u001b[K\n${'y'.repeat(45)}\u001b[K\n\u001b[J`,
    '\u001b[5Ftwo\u001b[K\n\u001b[J',
  ])
})

test('leaves out what has no room on the screen', async () => {
  const { output, written } = terminal({ columns: 20, rows: 4 })
  await liveRegion(output).draw(['1', '2', '3', '4', '5'], ['tail'])
  expect(written[0]!.replaceAll('\u001b[K', '')).toBe('1\n2\ntail\n\u001b[J')
})

function terminal({ columns, rows }: { columns: number; rows: number }) {
  const written: string[] = []
  const output = {
    isTerminal: true,
    columns,
    rows,
    closed: new AbortController().signal,
    write: async (text: string) => void written.push(text),
  }
  return { output, written }
}
