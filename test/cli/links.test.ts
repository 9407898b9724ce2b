/** Links on real devices: processes of their own, LevelDB, libp2p over loopback. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'

import type { Invitation, LinkResult, RecordLink } from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'

const minuteMs = 60_000

test(
  'a person who was registered twice is linked on one device, and unlinked on the other',
  async () => {
    const place = new Place()
    await place.json('a', 'init', '--mesh', 'Camp', '--device', 'a')
    const patients = ['anna', 'anna-b', 'hanna'].map((id) => ({ resourceType: 'Patient', id }))
    const file = place.path('patients.ndjson')
    writeFileSync(file, patients.map((patient) => JSON.stringify(patient)).join('\n'))
    await place.json('a', 'import', file)
    const linked = await place.json<LinkResult>(
      'a',
      'link',
      'patients',
      'Patient/anna',
      'Patient/anna-b',
      'Patient/hanna',
    )
    const link = (id: string): RecordLink => ({
      id,
      state: 'present',
      linkedWith: ['Patient/anna'],
    })
    expect(linked).toMatchObject({
      ids: ['Patient/anna', 'Patient/anna-b', 'Patient/hanna'],
      commit: { seq: 2 },
      links: [link('Patient/anna-b'), link('Patient/hanna')],
    })

    const a = await place.up('a')
    const { code } = await place.json<Invitation>('a', 'invite')
    await place.json('b', 'join', code, '--device', 'b')
    const b = await place.up('b', '--peer', a.address)
    await b.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    const { stdout } = await place.run('b', 'get', 'patients', 'Patient/hanna')
    expect(stdout).toContain('The same as Patient/anna, Patient/anna-b\n')

    // Through the running device.
    const failing: [args: string[], code: string, exitCode: number][] = [
      [['link', 'patients', 'Patient/anna'], 'USAGE', 2],
      [['link', 'patients', 'Patient/anna', 'Patient/anna'], 'LINK_TO_ITSELF', 1],
      [['link', 'patients', 'Patient/anna', 'Patient/x'], 'NOT_FOUND', 1],
      [['unlink', 'patients', 'Patient/hanna', 'Patient/anna-b'], 'LINKED_INDIRECTLY', 1],
    ]
    const failures = await Promise.all(failing.map(([args]) => place.failure('b', ...args)))
    expect(failures).toEqual(failing.map(([, ...expected]) => expected))
    const unlinked = await place.run('b', 'unlink', 'patients', 'Patient/hanna', 'Patient/anna')
    expect(unlinked.stdout).toMatch(
      /^Patient\/hanna is linked with no other record now \(commit 1 of feed [0-9a-f]{8}\)\.\n$/,
    )
    await expect
      .poll(
        async () =>
          (await place.json<{ links: RecordLink[] }>('a', 'get', 'patients', 'Patient/anna')).links,
        { timeout: 20_000 },
      )
      .toEqual([link('Patient/anna-b')])
    expect(await place.json('a', 'get', 'patients', 'Patient/hanna')).not.toHaveProperty('links')
    expect((await place.run('a', 'export')).stdout).not.toContain('~same')
  },
  2 * minuteMs,
)
