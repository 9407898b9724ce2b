import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { disputedPart, hasConflicts } from '../../src/records/conflict-check.ts'
import { conflictOf, conflictToken } from '../../src/records/resolution.ts'
import { summaryOf, viewRecord } from '../../src/records/visibility.ts'
import { randomHistory } from './histories/random-history.ts'
import { records, wardReading } from './histories/ward.ts'

const anySeed = fc.noShrink(fc.integer())
const withoutTexts = { ...wardReading('confirm'), digest: 'no texts', textFieldsOf: () => [] }

test.prop([anySeed, fc.boolean()], { numRuns: 400 })(
  'a part of a record has all its conflicts, and a record without conflicts is known as such',
  (seed, hasTexts) => {
    const { devices } = randomHistory(seed, hasTexts ? {} : { readings: [withoutTexts] })
    for (const { replica } of devices) {
      const { causality, reading } = replica
      for (const record of records) {
        const state = replica.settled(record)
        const view = viewRecord(state, causality, reading)
        const { contested } = summaryOf(state, causality)
        const has = hasConflicts(state, contested, { causality, reading })
        expect(has).toBe(view.conflicts.length > 0)
        if (!has) continue
        const part = viewRecord(disputedPart(state, reading), causality, reading)
        expect(part.conflicts).toEqual(view.conflicts)
        for (const { field } of view.conflicts) {
          const token = conflictToken(part, conflictOf(part, field))
          expect(token).toBe(conflictToken(view, conflictOf(view, field)))
        }
      }
    }
  },
)
