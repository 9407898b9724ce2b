import { describe, expect, test } from 'vitest'
import type { ImportResult, PeerStatus } from '../../src/device/api.ts'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Camp, CommandError, enrol } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { canUseNamespaces, createRow } from '../support/namespaces.ts'
import { findInFiles, findInMemory } from '../support/process-memory.ts'
import { until } from '../support/until.ts'

const patients = 300
/** In every planted name; no word of any language, so that nobody but us can have written it. */
const planted = 'Zxqvwy'

describe.skipIf(!canUseNamespaces())('a courier between two devices that never meet', () => {
  test('carries everything, can read nothing, and brings back who has it', async () => {
    const network = createRow(3)
    const camp = await Camp.pitch({ network })
    const a = camp.device('hill clinic', 1)
    const b = camp.device('motorbike', 2)
    const c = camp.device('valley clinic', 3)
    await a.init()
    await a.up()
    await enrol(b, a, 'courier')
    // Enrolled next to the admin, then carried to where it can't reach it.
    c.moveTo(2)
    await enrol(c, a)
    c.moveTo(3)

    const file = join(camp.directory, 'patients.ndjson')
    await writeFile(file, ndjson())
    const imported = await a.run<ImportResult>('import', file)
    expect(imported).toMatchObject({ records: patients, rejected: [] })

    await Promise.all([b.up(), c.up()])
    await untilHeld(c, a)
    await until('A knows that C has it', async () => isUpToDate(peerOf(await a.status(), c)), {
      withinMs: 30_000,
      state: async () => (await a.status()).peers,
    })
    expect(peerOf(await a.status(), c)).toMatchObject({
      connected: false,
      state: 'COMPLETE',
      behind: 0,
      ahead: 0,
    })
    expect((await b.status()).peers.filter(({ connected }) => connected)).toHaveLength(2)

    // The other way, and live.
    const back = `${planted}return`
    await c.set('patients', 'Patient/planted-0', `name=[{"family":"${back}"}]`, 'gender="other"')
    await untilHeld(a, c)
    const seen = await a.get('patients', 'Patient/planted-0')
    expect(seen.fields).toMatchObject({ name: [{ family: back }], gender: 'other' })

    const sought = [planted, 'Patient/planted-', 'birthPlaceOfRecord']
    // In whatever order they lie there.
    const found = await findInMemory(a.pid, sought)
    expect(new Set(found), 'the search finds what is there').toEqual(new Set(sought))
    expect(await findInMemory(b.pid, sought)).toEqual([])
    await b.down()
    expect(await findInFiles([b.dataDir, b.stateHome], sought)).toEqual([])
    await expect(b.get('patients', 'Patient/planted-0')).rejects.toThrow(CommandError)
    await Promise.all([a.down(), c.down()])
  })
})

function plantedName(index: number): string {
  const letters = Array.from(String(index), (digit) => 'bdfghkmprt'[Number(digit)])
  return `${planted}${letters.join('u')}xz`
}

function ndjson(): string {
  const lines = Array.from({ length: patients }, (_, index) =>
    JSON.stringify({
      resourceType: 'Patient',
      id: `planted-${index}`,
      name: [{ family: plantedName(index) }],
      birthPlaceOfRecord: index,
    }),
  )
  return lines.map((line) => `${line}\n`).join('')
}

async function untilHeld(there: CampDevice, from: CampDevice): Promise<void> {
  await until(
    `${there.name} holds what ${from.name} has`,
    async () => {
      const [own, other] = [await there.content(), await from.content()]
      return other.patients !== undefined && own.patients === other.patients
    },
    { withinMs: 30_000, state: () => Promise.all([there.status(), from.status()]) },
  )
}

function peerOf(
  status: { peers: PeerStatus[] },
  { name }: { name: string },
): PeerStatus | undefined {
  return status.peers.find(({ device }) => device.name === name)
}

function isUpToDate(peer: PeerStatus | undefined): boolean {
  return peer?.behind === 0 && peer.ahead === 0
}
