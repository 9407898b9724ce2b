/** What is measured, and what a result has to keep to. */

export interface Row {
  name: string
  what: string
  unit: 'ms' | 'B' | 'MB' | ''
  /** Whether a bound is a multiple of the reference, or a value in the unit. */
  bound: 'multiple' | 'value'
  must: number
  aim: number
  /** Needs 100,000 records: left out by `--quick`. */
  large?: true
}

export const rows = [
  {
    name: 'initial-sync',
    what: 'initial sync of 10,000 records, durable and answered by get',
    unit: 'ms',
    bound: 'multiple',
    must: 8,
    aim: 3,
  },
  {
    name: 'initial-bytes',
    what: 'bytes on the wire for it, both directions, against deflate of the NDJSON',
    unit: 'B',
    bound: 'multiple',
    must: 1.4,
    aim: 1.15,
  },
  {
    name: 'edits-import',
    what: '100 records, one field each, in one import: bytes after a reconnect',
    unit: 'B',
    bound: 'value',
    must: 10_000,
    aim: 6_000,
  },
  {
    name: 'edits-set',
    what: 'the same by 100 single calls of set',
    unit: 'B',
    bound: 'value',
    must: 30_000,
    aim: 20_000,
  },
  {
    name: 'reconnect-bytes',
    what: 'reconnect with nothing new: bytes in the direction that has more',
    unit: 'B',
    bound: 'value',
    must: 1_000,
    aim: 600,
  },
  {
    name: 'reconnect-trips',
    what: 'round trips of it after the handshake of libp2p',
    unit: '',
    bound: 'value',
    must: 1,
    aim: 1,
  },
  {
    name: 'reconnect-100k-bytes',
    what: 'reconnect with nothing new, at 100,000 records',
    unit: 'B',
    bound: 'value',
    must: 1_000,
    aim: 600,
    large: true,
  },
  {
    name: 'reconnect-100k-trips',
    what: 'round trips of it after the handshake of libp2p',
    unit: '',
    bound: 'value',
    must: 1,
    aim: 1,
    large: true,
  },
  {
    name: 'reconnect-100k-growth',
    what: 'bytes more than at 10,000 records (counters grow by a byte)',
    unit: 'B',
    bound: 'value',
    must: 16,
    aim: 4,
    large: true,
  },
  {
    name: 'import',
    what: 'import of 10,000 records, durable',
    unit: 'ms',
    bound: 'value',
    must: 5_000,
    aim: 2_500,
  },
  {
    name: 'latency',
    what: 'one edit until the connected neighbour has it durably',
    unit: 'ms',
    bound: 'value',
    must: 50,
    aim: 15,
  },
  {
    name: 'device-100k-start',
    what: 'a device with 100,000 records: start of the process until ready',
    unit: 'ms',
    bound: 'value',
    must: 2_000,
    aim: 1_000,
    large: true,
  },
  {
    name: 'device-100k-memory',
    what: 'resident memory of it while idle',
    unit: 'MB',
    bound: 'value',
    must: 250,
    aim: 150,
    large: true,
  },
] as const satisfies readonly Row[]

export type RowName = (typeof rows)[number]['name']

export interface Result {
  row: Row
  /** Medians; undefined where nothing was measured or there is nothing to compare with. */
  reference: number | undefined
  ours: number | undefined
  ratio: number | undefined
  verdict: 'aim' | 'must' | 'MISSED' | undefined
  samples: { reference: number[]; ours: number[] }
}

/** Collects what was measured, by row. */
export class Samples {
  readonly #samples = new Map<RowName, { reference: number[]; ours: number[] }>()

  add(name: RowName, side: 'reference' | 'ours', ...values: number[]): void {
    this.of(name)[side].push(...values)
  }

  of(name: RowName): { reference: number[]; ours: number[] } {
    const samples = this.#samples.get(name) ?? { reference: [], ours: [] }
    this.#samples.set(name, samples)
    return samples
  }
}

export function resultOf(row: Row, samples: { reference: number[]; ours: number[] }): Result {
  const reference = median(samples.reference)
  const ours = median(samples.ours)
  const ratio = reference === undefined || ours === undefined ? undefined : ours / reference
  const measured = row.bound === 'multiple' ? ratio : ours
  const verdict =
    measured === undefined
      ? undefined
      : measured <= row.aim
        ? 'aim'
        : measured <= row.must
          ? 'must'
          : 'MISSED'
  return { row, reference, ours, ratio, verdict, samples }
}

export function table(results: Result[]): string {
  const header = ['name', 'what', 'reference', 'ours', 'ratio', 'must', 'aim', 'verdict']
  const lines = [header, ...results.map(cells)]
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          numeric.has(header[column]!)
            ? cell.padStart(widths[column]!)
            : cell.padEnd(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function median(values: number[]): number | undefined {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length / 2
  const [below, above] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return below === undefined || above === undefined ? undefined : (below + above) / 2
}

const numeric = new Set(['reference', 'ours', 'ratio', 'must', 'aim'])

function cells({ row, reference, ours, ratio, verdict }: Result): string[] {
  const bound = (value: number): string =>
    row.bound === 'multiple' ? `≤ ${value} ×` : `≤ ${quantity(value, row.unit)}`
  return [
    row.name,
    row.what,
    quantity(reference, row.unit),
    quantity(ours, row.unit),
    ratio === undefined ? '–' : `${ratio.toFixed(2)} ×`,
    bound(row.must),
    bound(row.aim),
    verdict ?? 'not measured',
  ]
}

function quantity(value: number | undefined, unit: Row['unit']): string {
  if (value === undefined) return '–'
  const digits = unit === 'ms' && value < 100 && !Number.isInteger(value) ? 1 : 0
  const shown = value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: unit === '' ? 1 : digits,
  })
  return unit === '' ? shown : `${shown} ${unit}`
}
