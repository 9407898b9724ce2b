import { expect, test } from 'vitest'
import { metricsText } from '../../src/observe/metrics.ts'

test('numbers are written as Prometheus reads them', () => {
  expect(
    metricsText([
      { name: 'a_bytes', help: 'What is "there".', type: 'gauge', values: [{ value: 1.5 }] },
      {
        name: 'b_total',
        help: 'One\\two\nlines.',
        type: 'counter',
        values: [
          { labels: { code: 'X', of: 'a "b"\\\nc' }, value: 2 },
          { labels: { code: 'Y', of: '' }, value: 0 },
        ],
      },
      { name: 'c', help: 'Nothing yet.', type: 'gauge', values: [] },
    ]),
  ).toBe(`# HELP a_bytes What is "there".
# TYPE a_bytes gauge
a_bytes 1.5
# HELP b_total One\\\\two\\nlines.
# TYPE b_total counter
b_total{code="X",of="a \\"b\\"\\\\\\nc"} 2
b_total{code="Y",of=""} 0
# HELP c Nothing yet.
# TYPE c gauge
`)
})
