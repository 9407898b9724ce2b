/** What was measured, and how it is shown. */
import type { Row, RowName } from './rows.ts'

export interface Result {
  row: Row
  /** Medians; undefined where nothing was measured or there is nothing to compare with. */
  reference: number | undefined
  ours: number | undefined
  ratio: number | undefined
  verdict: 'aim' | 'must' | 'MISSED' | 'in small' | undefined
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

/** @param isSmall - measured on so little that bounds mean nothing */
export function resultOf(
  row: Row,
  samples: { reference: number[]; ours: number[] },
  isSmall: boolean,
): Result {
  const reference = median(samples.reference)
  const ours = median(samples.ours)
  const ratio = reference === undefined || ours === undefined ? undefined : ours / reference
  const measured = row.bound === 'multiple' ? ratio : ours
  const keepsTo = (value: number, bound: number): boolean =>
    row.bound === 'least' ? value >= bound : value <= bound
  const verdict =
    measured === undefined
      ? undefined
      : isSmall
        ? 'in small'
        : keepsTo(measured, row.aim)
          ? 'aim'
          : keepsTo(measured, row.must)
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
    row.bound === 'multiple'
      ? `≤ ${value} ×`
      : `${row.bound === 'least' ? '≥' : '≤'} ${quantity(value, row.unit)}`
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
