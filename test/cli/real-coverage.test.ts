/** `haven site` and `haven coverage` on real devices: processes of their own, exchanging over loopback. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import type {
  Coverage,
  DeviceSite,
  DeviceStatus,
  Invitation,
  MembershipResult,
} from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'

const form = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/schemas/coverage.json'), 'utf8'),
) as object
const isOfForm = new Ajv2020({ allErrors: true, validateFormats: false }).compile(form)

async function coverageOf(place: Place, device: string): Promise<Coverage> {
  const coverage = await place.json<Coverage>(device, 'coverage')
  isOfForm(coverage)
  expect(isOfForm.errors ?? []).toEqual([])
  return coverage
}

async function joined(place: Place, device: string, ...more: string[]): Promise<MembershipResult> {
  const role = device === 'courier' ? ['--role', 'courier'] : []
  const { code } = await place.json<Invitation>('north', 'invite', ...role)
  return place.json<MembershipResult>(device, 'join', code, '--device', device, ...more)
}

test(
  'a camp sees what another one was known to hold, also when nothing runs',
  { timeout: 180_000 },
  async () => {
    const place = new Place()
    const waiting = { timeout: 20_000, interval: 500 }
    await place.json(
      'north',
      'init',
      '--mesh',
      'Relief',
      '--device',
      'north',
      '--site',
      'Camp North',
    )
    const up = await place.up('north')
    await joined(place, 'south', '--site', 'Camp South')
    const courier = await joined(place, 'courier', '--site', 'Car')
    expect(await place.failure('courier', 'site', 'Car')).toEqual(['NOT_ALLOWED', 1])
    const car = await place.json<DeviceSite>('north', 'site', 'Car', '--of', courier.device.id)
    expect(car).toEqual({ device: expect.objectContaining({ name: 'courier' }), site: 'Car' })

    await place.json('south', 'set', 'patients', 'Patient/1', 'n=1')
    const south = await place.up('south', '--peer', up.address)
    await expect
      .poll(async () => {
        const { pairs } = await coverageOf(place, 'north')
        return pairs.find(({ site, of }) => site === 'site/Camp South' && of === 'site/Camp North')
      }, waiting)
      .toMatchObject({ state: 'all', direct: true })
    const status = await place.json<DeviceStatus>('north', 'status')
    expect(status.site).toBe('Camp North')
    expect(status.peers.map(({ site }) => site)).toEqual(
      expect.arrayContaining(['Camp South', 'Car']),
    )
    await south.process.stop()
    await up.process.stop()

    await place.json('north', 'set', 'patients', 'Patient/2', 'n=2')
    const after = await coverageOf(place, 'north')
    expect(after.pairs).toContainEqual(
      expect.objectContaining({
        site: 'site/Camp South',
        of: 'site/Camp North',
        state: 'lacks',
        lacks: 1,
      }),
    )
    expect(after.sites.find(({ id }) => id === 'site/Camp North')?.oneDevice).toMatchObject({
      commits: 1,
      holder: { name: 'north' },
    })
    expect((await place.run('north', 'coverage')).stdout).toContain('Camp South   lacks 1, ')
    // The other camp has heard nothing of it.
    const there = await coverageOf(place, 'south')
    expect(there.site).toBe('site/Camp South')
    expect(there.pairs.filter(({ site }) => site === 'site/Camp South')).toEqual([
      expect.objectContaining({ of: 'site/Camp North', state: 'all' }),
    ])
    expect(await place.failure('south', 'coverage', '--from', 'Camp East')).toEqual([
      'NOT_FOUND',
      1,
    ])
  },
)
