/** Writes records, a commit each: `node backlog-process.ts <data directory> <count>`. */
import { createDevice } from '../../src/device/create-device.ts'

const [, , dataDir, count] = process.argv as [string, string, string, string]
await using device = await createDevice({ dataDir })
// What is asked for at once goes into one commit.
for (let number = 0; number < Number(count); number++) {
  await device.set('patients', `Patient/backlog-${number}`, [
    ['gender', '"unknown"'],
    ['birthDate', `"19${10 + (number % 90)}-01-01"`],
  ])
}
