/** What lies between two versions of a text, and how that is done to a third one. */

/** In UTF-16 code units, as JavaScript and Yjs count. */
export interface TextChange {
  readonly at: number
  readonly remove: number
  readonly insert: string
}

/**
 * Changes that make `to` out of `from`: ascending, without overlaps, places as they are in `from`. What both have in common is left alone as
 * far as it is found line by line and word by word; nothing that a reader takes for one character is cut.
 */
export function textChanges(from: string, to: string): TextChange[] {
  const lines = changesOf(from, to, linesOf)
  const words = lines.flatMap((change) => {
    const removed = from.slice(change.at, change.at + change.remove)
    return changesOf(removed, change.insert, wordsOf).map((each) => ({
      ...each,
      at: change.at + each.at,
    }))
  })
  return words.map((change) => withoutCommonEnds(from, change)).filter(isChange)
}

/**
 * The changes between `base` and `mine`, done to `theirs`, which was made from the same base: what they inserted stays, what they removed stays
 * removed.
 */
export function changesOnto(base: string, mine: string, theirs: string): TextChange[] {
  if (base === theirs) return textChanges(theirs, mine)
  const kept = keptParts(base, textChanges(base, theirs))
  const moved: TextChange[] = []
  for (const { at, remove, insert } of textChanges(base, mine)) {
    const place = placeOf(kept, at, theirs.length)
    const removals = kept.flatMap((part) => {
      const start = Math.max(at, part.base)
      const end = Math.min(at + remove, part.base + part.length)
      return start < end
        ? [{ at: part.theirs + start - part.base, remove: end - start, insert: '' }]
        : []
    })
    const first = removals[0]
    if (first?.at === place) moved.push({ ...first, insert }, ...removals.slice(1))
    else moved.push({ at: place, remove: 0, insert }, ...removals)
  }
  return moved.filter(isChange)
}

export function applyTextChanges(text: string, changes: readonly TextChange[]): string {
  let result = ''
  let done = 0
  for (const { at, remove, insert } of changes) {
    result += text.slice(done, at) + insert
    done = at + remove
  }
  return result + text.slice(done)
}

function isChange({ remove, insert }: TextChange): boolean {
  return remove > 0 || insert !== ''
}

interface Kept {
  readonly base: number
  readonly theirs: number
  readonly length: number
}

function keptParts(base: string, changes: readonly TextChange[]): Kept[] {
  const kept: Kept[] = []
  let at = 0
  let theirs = 0
  for (const change of changes) {
    kept.push({ base: at, theirs, length: change.at - at })
    theirs += change.at - at + change.insert.length
    at = change.at + change.remove
  }
  kept.push({ base: at, theirs, length: base.length - at })
  return kept.filter(({ length }) => length > 0)
}

/** Where something stands now: behind what it stood behind, or before what it stood before. */
function placeOf(kept: readonly Kept[], at: number, end: number): number {
  const before = kept.findLast((part) => part.base < at)
  if (before !== undefined && at <= before.base + before.length) {
    return before.theirs + at - before.base
  }
  const after = kept.find((part) => part.base >= at)
  if (after !== undefined) return after.theirs
  return before === undefined ? end : before.theirs + before.length
}

function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function wordsOf(text: string): string[] {
  return text.match(/\s+|[^\s]+/g) ?? []
}

/** So many pairs are compared: more, and what lies between the common ends is one change. */
const pairsMax = 250_000

function changesOf(from: string, to: string, partsOf: (text: string) => string[]): TextChange[] {
  if (from === to) return []
  const old = partsOf(from)
  const now = partsOf(to)
  let start = 0
  while (start < old.length && start < now.length && old[start] === now[start]) start++
  let ends = 0
  while (
    ends < old.length - start &&
    ends < now.length - start &&
    old[old.length - 1 - ends] === now[now.length - 1 - ends]
  ) {
    ends++
  }
  const oldMiddle = old.slice(start, old.length - ends)
  const nowMiddle = now.slice(start, now.length - ends)
  const changes: TextChange[] = []
  let at = old.slice(0, start).join('').length
  for (const { removed, inserted, common } of runsOf(oldMiddle, nowMiddle)) {
    const remove = removed.join('').length
    changes.push({ at, remove, insert: inserted.join('') })
    at += remove + common.join('').length
  }
  return changes.filter(isChange)
}

interface Run {
  readonly removed: readonly string[]
  readonly inserted: readonly string[]
  /** What stands behind, in both. */
  readonly common: readonly string[]
}

/** By the longest common subsequence. */
function runsOf(old: readonly string[], now: readonly string[]): Run[] {
  if (old.length * now.length > pairsMax) return [{ removed: old, inserted: now, common: [] }]
  const width = now.length + 1
  const lengths = new Uint32Array((old.length + 1) * width)
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        old[i] === now[j]
          ? lengths[(i + 1) * width + j + 1]! + 1
          : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!)
    }
  }
  const runs: Run[] = []
  let i = 0
  let j = 0
  while (i < old.length || j < now.length) {
    const [fromI, fromJ] = [i, j]
    while ((i < old.length || j < now.length) && !(i < old.length && old[i] === now[j])) {
      const without = i < old.length ? lengths[(i + 1) * width + j]! : -1
      if (j < now.length && lengths[i * width + j + 1]! > without) j++
      else if (i < old.length) i++
      else j++
    }
    const [untilI, untilJ] = [i, j]
    while (i < old.length && j < now.length && old[i] === now[j]) {
      i++
      j++
    }
    runs.push({
      removed: old.slice(fromI, untilI),
      inserted: now.slice(fromJ, untilJ),
      common: old.slice(untilI, i),
    })
  }
  return runs
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** Letters that both sides of a change begin or end with are no part of it. */
function withoutCommonEnds(from: string, { at, remove, insert }: TextChange): TextChange {
  const removed = from.slice(at, at + remove)
  const shorter = Math.min(removed.length, insert.length)
  let start = 0
  while (start < shorter && removed[start] === insert[start]) start++
  while (start > 0 && !(isBoundary(removed, start) && isBoundary(insert, start))) start--
  let ends = 0
  while (
    ends < shorter - start &&
    removed[removed.length - 1 - ends] === insert[insert.length - 1 - ends]
  ) {
    ends++
  }
  while (
    ends > 0 &&
    !(isBoundary(removed, removed.length - ends) && isBoundary(insert, insert.length - ends))
  ) {
    ends--
  }
  return {
    at: at + start,
    remove: remove - start - ends,
    insert: insert.slice(start, insert.length - ends),
  }
}

/** Whether a reader sees one character end and another begin here. */
function isBoundary(text: string, at: number): boolean {
  if (at === 0 || at === text.length) return true
  return graphemes.segment(text).containing(at)!.index === at
}

/** Whether a place lies between the two halves of one code point. */
export function splitsCodePoint(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1)
  const after = text.charCodeAt(at)
  return before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff
}
