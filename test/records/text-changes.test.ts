import { fc, test as propertyTest } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import {
  applyTextChanges,
  changesOnto,
  splitsCodePoint,
  textChanges,
} from '../../src/records/text-changes.ts'

const anyLine = fc.array(fc.constantFrom('fever', 'since', 'monday', 'no', '👩‍⚕️', 'é', 'e\u0301'), {
  maxLength: 4,
})
const anyNote = fc
  .array(anyLine, { maxLength: 5 })
  .map((lines) => lines.map((words) => words.join(' ')).join('\n'))

describe('the changes between two texts', () => {
  propertyTest.prop([
    fc.oneof(anyNote, fc.string({ unit: 'binary' })),
    fc.oneof(anyNote, fc.string({ unit: 'binary' })),
  ])('make the one out of the other, in order and without overlaps', (from, to) => {
    const changes = textChanges(from, to)
    expect(applyTextChanges(from, changes)).toBe(to)
    let end = 0
    for (const { at, remove } of changes) {
      expect(at).toBeGreaterThanOrEqual(end)
      end = at + remove
    }
    if (from === to) expect(changes).toEqual([])
  })

  test.each([
    ['fever', 'fever.', [{ at: 5, remove: 0, insert: '.' }]],
    ['fever', 'high fever', [{ at: 0, remove: 0, insert: 'high ' }]],
    ['dose 5 mg', 'dose 50 mg', [{ at: 6, remove: 0, insert: '0' }]],
    [
      'one\ntwo\nthree\n',
      'One\ntwo\nthree\nfour\n',
      [
        { at: 0, remove: 1, insert: 'O' },
        { at: 14, remove: 0, insert: 'four\n' },
      ],
    ],
    [
      'seen at 9 by Ada',
      'seen at 10 by Ben',
      [
        { at: 8, remove: 1, insert: '10' },
        { at: 13, remove: 3, insert: 'Ben' },
      ],
    ],
  ])('are small: %j to %j', (from, to, expected) => {
    const changes = textChanges(from, to)
    expect(applyTextChanges(from, changes)).toBe(to)
    expect(changes).toEqual(expected)
  })

  test.each([
    // Both begin with the same half of a pair.
    ['😀', '😁'],
    ['a😀b', 'a😁b'],
    // A family of which one more is a child, flags, and letters with marks.
    ['👨‍👩‍👧', '👨‍👩‍👦'],
    ['🇰🇪', '🇰🇭'],
    ['e\u0301', 'e'],
    ['e', 'e\u0301'],
  ])('never cut what a reader takes for one character: %s to %s', (from, to) => {
    const changes = textChanges(from, to)
    expect(applyTextChanges(from, changes)).toBe(to)
    for (const { at, remove, insert } of changes) {
      expect(insert.isWellFormed()).toBe(true)
      expect(from.slice(at, at + remove).isWellFormed()).toBe(true)
      expect([...new Intl.Segmenter().segment(insert)].length).toBeLessThanOrEqual(1)
    }
    expect(changes).toHaveLength(1)
  })

  test('of long texts that have nothing in common are found at once', () => {
    const from = Array.from({ length: 5_000 }, (_, i) => `line ${i}`).join('\n')
    const to = Array.from({ length: 5_000 }, (_, i) => `other ${i}`).join('\n')
    expect(applyTextChanges(from, textChanges(from, to))).toBe(to)
  })
})

describe('changes of an older text', () => {
  const base = 'Anna has a fever.\nShe takes no drugs.\n'

  test('are done to the newer one, and leave what is new there', () => {
    const mine = base.replace('a fever', 'a high fever')
    const theirs = `${base}Seen by Ben.\n`
    expect(applyTextChanges(theirs, changesOnto(base, mine, theirs))).toBe(
      'Anna has a high fever.\nShe takes no drugs.\nSeen by Ben.\n',
    )
  })

  test('do not bring back what was removed meanwhile, nor remove what was written into it', () => {
    const mine = base.replace('She takes no drugs.\n', '')
    const theirs = base.replace('no drugs', 'no other drugs')
    expect(applyTextChanges(theirs, changesOnto(base, mine, theirs))).toBe(
      'Anna has a fever.\nother ',
    )
    const shorter = base.replace('Anna has a fever.\n', '')
    const added = base.replace('fever', 'fever and a cough')
    expect(applyTextChanges(shorter, changesOnto(base, added, shorter))).toContain('and a cough')
    expect(applyTextChanges(shorter, changesOnto(base, added, shorter))).not.toContain('fever')
  })

  propertyTest.prop([anyNote, anyNote, anyNote])(
    'stand in the newer text whole, in order, and take nothing that was not there before',
    (older, mine, theirs) => {
      const changes = changesOnto(older, mine, theirs)
      let end = 0
      for (const { at, remove } of changes) {
        expect(at).toBeGreaterThanOrEqual(end)
        end = at + remove
        expect(splitsCodePoint(theirs, at)).toBe(false)
      }
      expect(end).toBeLessThanOrEqual(theirs.length)
      if (older === theirs) expect(applyTextChanges(theirs, changes)).toBe(mine)
      if (older === mine) expect(changes).toEqual([])
      const inserted = (all: typeof changes) => all.map(({ insert }) => insert).join('')
      expect(inserted(changes)).toBe(inserted(textChanges(older, mine)))
    },
  )
})
