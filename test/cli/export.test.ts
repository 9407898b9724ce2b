/** What an export marks, on real devices: processes of their own, LevelDB, libp2p over loopback. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'

import type { DeviceStatus, Invitation } from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'

const minuteMs = 60_000

test(
  'a conflict goes out as one resource and its Provenance, and nothing of that comes in again',
  async () => {
    const place = new Place()
    await place.json('a', 'init', '--mesh', 'Camp', '--device', 'registration')
    await place.json('a', 'set', 'patients', 'Patient/1', 'gender="female"', 'active=true')
    const a = await place.up('a')
    const { code } = await place.json<Invitation>('a', 'invite')
    await place.json('b', 'join', code, '--device', 'triage')
    const b = await place.up('b', '--peer', a.address)
    await b.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    await b.process.stop()
    await place.json('b', 'set', 'patients', 'Patient/1', 'gender="other"')
    await place.json('a', 'set', 'patients', 'Patient/1', 'gender="male"')
    const again = await place.up('b', '--peer', a.address)
    await again.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')

    const { stdout } = await place.run('b', 'export')
    const lines = stdout.trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      {
        resourceType: 'Patient',
        id: '1',
        meta: {
          tag: [
            expect.objectContaining({
              system: 'urn:havenmesh:review',
              code: 'unreviewed-conflict',
            }),
          ],
        },
        active: true,
        gender: 'male',
      },
      expect.objectContaining({
        resourceType: 'Provenance',
        target: [{ reference: 'Patient/1' }],
        entity: [
          expect.objectContaining({
            what: { display: 'gender: "other"' },
            agent: [
              expect.objectContaining({
                who: expect.objectContaining({ type: 'Device', display: 'triage' }) as object,
              }),
            ],
          }),
        ],
      }),
    ])
    expect((await place.run('a', 'export', '--json')).stdout).toBe(stdout)

    const file = place.path('export.ndjson')
    writeFileSync(file, stdout)
    const before = await place.json<DeviceStatus>('a', 'status')
    expect(await place.json('a', 'import', file)).toMatchObject({
      records: 0,
      unchanged: 1,
      commits: 0,
      rejected: [],
    })
    const after = await place.json<DeviceStatus>('a', 'status')
    expect(after.collections).toEqual(before.collections)
  },
  2 * minuteMs,
)
