// node .ci/summary.mjs <vitest JSON report>: prints the counts; fails unless tests ran and none failed.

import { readFileSync } from 'node:fs'

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    console.error(`No test report: ${error.message}`)
    return { testResults: [] }
  }
}

const files = readReport(process.argv[2]).testResults
const statuses = files.flatMap((file) => file.assertionResults.map((test) => test.status))
const count = (...wanted) => statuses.filter((status) => wanted.includes(status)).length

// A file that cannot be loaded has no tests to fail, so the file itself counts as one.
const unloadable = files.filter(
  (file) =>
    file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
)
for (const file of unloadable) console.log(`Could not run ${file.name}: ${file.message}`)

const passed = count('passed')
const failed = count('failed') + unloadable.length
const skipped = statuses.length - passed - count('failed')
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = passed > 0 && failed === 0 ? 0 : 1
