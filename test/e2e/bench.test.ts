import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { rows, type RowName } from '../../bench/rows.ts'

const run = promisify(execFile)

/** What four devices and a large collection are set up for. */
const names = rows
  .map(({ name }): RowName => name)
  .filter((name) => /^(?:integrate|conflicts|documents|edits-(?:\d|restarts)|read)/.test(name))

test(
  'the benchmark measures a record that is edited over and over, conflicts, and documents',
  async () => {
    expect(names).toHaveLength(10)
    const only = names.flatMap((name) => ['--only', name])
    const { stdout } = await run(process.execPath, ['bench/run.ts', '--quick', '--json', ...only])
    const { results } = JSON.parse(stdout) as {
      results: { row: { name: string }; ours: number; verdict: string }[]
    }
    expect(results.map(({ row }) => row.name)).toEqual(names)
    for (const { ours, verdict } of results) {
      expect(ours).toBeGreaterThanOrEqual(0)
      expect(verdict).toBe('in small')
    }
  },
  5 * 60_000,
)
