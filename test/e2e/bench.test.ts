import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { rows, type RowName } from '../../bench/rows.ts'

const run = promisify(execFile)

const rowNames = rows.map(({ name }): RowName => name)

/** What four devices and a large collection are set up for. */
const names = rowNames.filter((name) =>
  /^(?:integrate|conflicts|documents|edits-(?:\d|restarts)|read)/.test(name),
)

/** Where a server is in it; PostgreSQL is not installed everywhere. */
const serverNames = rowNames.filter((name) =>
  /^(?:server-(?!postgres)|bridge|slow-link)/.test(name),
)

interface MeasuredRow {
  row: { name: string; bound: string; must: number }
  ours: number
  verdict: string
}

async function measured(only: readonly RowName[]): Promise<MeasuredRow[]> {
  const args = ['bench/run.ts', '--quick', '--json', ...only.flatMap((name) => ['--only', name])]
  try {
    return resultsIn((await run(process.execPath, args)).stdout)
  } catch (error) {
    // What is judged in small too may miss its bound on a machine that does other things.
    const { code, stdout } = error as { code: number; stdout: string }
    if (code !== 1 || stdout === '') throw error
    return resultsIn(stdout)
  }
}

function resultsIn(stdout: string): MeasuredRow[] {
  return (JSON.parse(stdout) as { results: MeasuredRow[] }).results
}

test(
  'the benchmark measures a record that is edited over and over, conflicts, and documents',
  async () => {
    expect(names).toHaveLength(10)
    const results = await measured(names)
    expect(results.map(({ row }) => row.name)).toEqual(names)
    for (const { ours, verdict } of results) {
      expect(ours).toBeGreaterThanOrEqual(0)
      expect(verdict).toBe('in small')
    }
  },
  5 * 60_000,
)

test(
  'the benchmark measures a server and its bridges',
  async () => {
    expect(serverNames).toHaveLength(9)
    const results = await measured(serverNames)
    expect(results.map(({ row }) => row.name)).toEqual(serverNames)
    for (const { ours } of results) expect(ours).toBeGreaterThan(0)
    const bytes = results.find(({ row }) => row.name === 'bridge-reconnect-bytes')!
    expect(bytes.verdict).toMatch(/^(?:must|aim)$/)
  },
  10 * 60_000,
)
