import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Camp, ending, enrol, untilAgreed } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { canUseNamespaces, createLan } from '../support/namespaces.ts'
import { until } from '../support/until.ts'

const program = fileURLToPath(new URL('backlog-process.ts', import.meta.url))
const backlog = 5_000

describe.skipIf(!canUseNamespaces())('on a slow link with a backlog', () => {
  test('what is urgent overtakes it', async () => {
    const network = createLan(2)
    const camp = await Camp.pitch({ network })
    const a = camp.device('A', 1)
    const b = camp.device('B', 2)
    await a.init()
    await a.up()
    await enrol(b, a)
    await a.down()
    const writing = a.start(program, [a.dataDir, String(backlog)], { stdio: 'inherit' })
    await ending(writing)
    expect(writing.exitCode).toBe(0)

    for (const host of [1, 2]) network.shape(host, { kbit: 384, latencyMs: 200 })
    await Promise.all([a.up(), b.up()])
    expect((await a.status()).clock.commits).toBeGreaterThanOrEqual(backlog)
    await until('the backlog is on its way', () => arrived(b).length > 0)
    const before = arrived(b).length
    await a.set('patients', 'Patient/alarm', 'active=true', '--urgent')
    await until('the alarm arrives', () => arrived(b).includes('Patient/alarm'), {
      withinMs: 60_000,
    })
    const order = arrived(b)
    const ahead = order.indexOf('Patient/alarm')
    console.log(
      `of ${backlog} commits, ${before} arrived before the alarm was raised, ${ahead} before it`,
    )
    expect(before).toBeLessThan(backlog / 4)
    expect(ahead, 'most of the backlog comes after it').toBeLessThan(backlog / 2)
    const { fields } = await b.get('patients', 'Patient/alarm')
    expect(fields).toEqual({ active: true })

    await untilAgreed([a, b], {
      withinMs: 90_000,
      also: () => new Set(arrived(b)).size === backlog + 1,
    })
    await Promise.all([a.down(), b.down()])
  })
})

/** Records, in the order in which they could be read here. */
function arrived(device: CampDevice): string[] {
  return device.events.flatMap((event) => (event.event === 'change' ? event.ids : []))
}
