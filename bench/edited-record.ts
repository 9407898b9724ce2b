import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { Clinic } from './clinic.ts'
import { recordId, writeRecords, type RecordsFile } from './records-file.ts'
import type { Samples } from './report.ts'
import type { RowName } from './rows.ts'
import type { Scale } from './scale.ts'

export const sizeNames: RowName[] = ['edits-2k-size', 'edits-2k-document', 'edits-20k-size']
export const restartNames: RowName[] = ['edits-restarts-size']
export const readNames: RowName[] = ['read-100k', 'read-100k-edited']

/** What becomes of a record that four devices edit over and over, and what it takes to read it. */
export async function measureEditedRecord(
  samples: Samples,
  {
    directory,
    scale,
    rounds,
    isWanted,
  }: {
    directory: string
    scale: Scale
    rounds: number
    isWanted: (...names: RowName[]) => boolean
  },
): Promise<void> {
  const values = writeRecords(directory, 1_000)
  await using clinic = await Clinic.enrol(mkdtempSync(join(directory, 'clinic-')), values)
  const edited = await clinic.write('edited')
  const fresh = await clinic.sizeOf(edited)
  if (isWanted(...sizeNames, ...restartNames, ...readNames)) {
    await clinic.editTogether(edited, scale.edits.together)
    const few = await clinic.sizeOf(edited)
    samples.add('edits-2k-size', 'reference', fresh.stored)
    samples.add('edits-2k-size', 'ours', few.stored)
    samples.add('edits-2k-document', 'reference', fresh.document)
    samples.add('edits-2k-document', 'ours', few.document)
    samples.add('edits-20k-size', 'reference', few.stored)
    samples.add('edits-restarts-size', 'reference', few.stored)
  }
  if (isWanted(...restartNames)) {
    const restarted = await clinic.write('restarted')
    await clinic.editApart(restarted, scale.restarts)
    samples.add('edits-restarts-size', 'ours', (await clinic.sizeOf(restarted)).stored)
  }
  if (isWanted('edits-20k-size', ...readNames)) {
    const { apart, days } = scale.edits
    await clinic.editApart(edited, { edits: apart, days })
    samples.add('edits-20k-size', 'ours', (await clinic.sizeOf(edited)).stored)
  }
  if (isWanted(...readNames)) {
    // What is read by code that has hardly run yet tells about the code.
    const before = await clinic.write('read-before')
    await clinic.editTogether(before, scale.reads)
    const many: RecordsFile = writeRecords(directory, scale.records)
    await clinic.grow(many)
    for (let round = 0; round < rounds; round++) {
      // None of them a second time.
      const from = Math.floor(many.records.length / 2) + round * scale.reads
      const ids = many.records.slice(from, from + scale.reads).map(recordId)
      const times = await clinic.readCold([...ids, before, edited])
      samples.add('read-100k', 'ours', ...times.slice(0, ids.length))
      samples.add('read-100k-edited', 'ours', times.at(-1)!)
    }
  }
}
