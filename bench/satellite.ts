/** A bridge whose way out is slow: how much of it carries commits, and how soon what is urgent is through. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type { FieldValue } from './device-process.ts'
import type { Measuring } from './measuring.ts'
import { collection, writeEdits, writeRecords } from './records-file.ts'
import type { RowName } from './rows.ts'
import { ServedDevices } from './served-devices.ts'
import { roundTripMs, SlowLink } from './slow-link.ts'

export const slowLinkNames: RowName[] = ['slow-link-efficiency', 'slow-link-urgent']

/** Announcements follow when all is quiet. */
const settledMs = 3_000

/**
 * Two devices that never meet have used the server before. Now it has something new from the one, which stays connected, and the other, which was out of
 * reach, has imported records, made single edits, and then one that is urgent.
 */
export async function measureSlowLink({
  samples,
  directory,
  scale,
  rounds,
}: Measuring): Promise<void> {
  await using link = await SlowLink.start()
  await using served = await ServedDevices.enrol(mkdtempSync(join(directory, 'satellite-')), {
    way: link,
    admin: 'near',
    others: ['far'],
  })
  const { server, mesh } = served
  const { imported, edits } = scale.slowLink
  const records = writeRecords(directory, imported)
  for (let round = 0; round < rounds; round++) {
    const near = await served.open('near')
    const some =
      round === 0 ? records : writeEdits(directory, records, { count: imported, number: round })
    await near.ask('importFile', { path: some.path, records: imported })
    await near.ask('set', editsOf(edits, `near ${round}`))
    await near.ask('setUrgent', editsOf(1, `urgent ${round}`)[0]!)
    await served.close('near')

    const far = await served.open('far')
    await far.ask('set', editsOf(20, `far ${round}`))
    await far.ask('upAsBridge')
    await far.ask('untilInSync')

    const before = await server.ask('carriedBytes', mesh)
    const more = await server.ask('urgent', mesh)
    link.isSlow = true
    link.wireBytes = 0
    const back = await served.open('near')
    const urgent = server.ask('untilUrgent', { mesh, more })
    await back.ask('upAsBridge')
    samples.add('slow-link-urgent', 'ours', ((await urgent) - link.cameUpMs) / roundTripMs)
    await back.ask('untilInSync')
    await link.quiet(settledMs)
    const carried = (await server.ask('carriedBytes', mesh)) - before
    samples.add('slow-link-efficiency', 'ours', (100 * carried) / link.wireBytes)
    link.isSlow = false
    await served.close('near')
    await served.close('far')
  }
}

/** Each is a commit of its own. */
function editsOf(count: number, by: string): FieldValue[] {
  return Array.from({ length: count }, (_, index) => ({
    collection,
    id: `Encounter/${by} ${index}`,
    field: 'status',
    json: JSON.stringify(`${by}, seen ${index * 7919}`),
  }))
}
