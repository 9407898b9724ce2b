/**
 * The promise that nothing is lost, as a check: no write that was acknowledged is ever invisible unless a write that saw it replaced
 * it. It is shown, or listed among a field's live values, or it stands in the history below its successor.
 *
 * It holds for every replica at all times, whatever part of the commits it holds, and is worked out from the truth alone.
 */
import {
  concerns,
  elementName,
  elementsOf,
  isOfElement,
  isSetAside,
  isUnknown,
  placeName,
  saw,
  writesOf,
  type Made,
  type TrueCommit,
  type TrueEdit,
} from './truth.ts'

/** A write as a replica lists it. */
interface ListedWrite {
  readonly op: string
  readonly value: string | undefined
  readonly feed: string
  readonly seq: number
}

/** What a replica shows of a record, in the terms that its authors used. A `RecordView` is one. */
export interface Shown {
  readonly deleted: boolean
  /** JSON text by field. */
  readonly fields: ReadonlyMap<string, string>
  readonly conflicts: readonly {
    readonly field: string
    readonly kind: string
    readonly values: readonly ListedWrite[]
  }[]
  readonly kept: ReadonlyMap<string, readonly string[]>
  readonly live: readonly (ListedWrite & { readonly field: string })[]
}

export interface Check {
  readonly record: string
  /** What the replica holds, and does not hide. */
  readonly commits: readonly TrueCommit[]
  readonly shown: Shown
  /**
   * Whether a value that is shown says all of another one, in a field that merges values by what they mean.
   *
   * @param whole - JSON texts
   */
  readonly says?: (field: string, whole: string, value: string) => boolean
}

/** One sentence for each write that is lost; none when all is well. */
export function lostWrites(check: Check): string[] {
  const { record, commits, shown, says = () => false } = check
  const made = writesOf(commits, record)
  const lost: string[] = []
  const complain = ({ commit, write }: Made, problem: string): void => {
    const { op, field, value } = write
    lost.push(
      `${op} ${JSON.stringify(field)} ${value ?? ''} of ${placeName(commit.feed, commit.seq)} in ${record} ${problem}`,
    )
  }
  for (const one of made) {
    const { write } = one
    if (made.some((other) => concerns(other.write, write) && saw(other, one))) continue
    if (write.field === '') {
      const problem = problemOfFate(one, made, check)
      if (problem !== undefined) complain(one, problem)
      continue
    }
    if (write.op !== 'count' && !isListed(one, shown)) complain(one, 'is not among the live writes')
    // What is Havenmesh's own is read from the live writes.
    if (isReserved(write.field) || isCovered(one, made)) continue
    if (shown.deleted) complain(one, 'is hidden by a deletion that did not see it')
    else if (!isShown(one, made, { shown, says })) complain(one, 'is nowhere to be seen')
  }
  lost.push(...miscounts(record, made, shown))
  lost.push(...lostLetters(record, { commits, made, shown }))
  return lost
}

/** Whether somebody who knew of it deleted the record, and nobody who knew of that took it back. */
function isCovered(one: Made, made: readonly Made[]): boolean {
  return made.some(
    (other) => other.write.op === 'delete' && saw(other, one) && isInForce(other, made),
  )
}

/** A restoration that has been replaced leaves the question to what replaced it. */
function isInForce(deletion: Made, made: readonly Made[]): boolean {
  return !made.some(
    (other) =>
      other.write.op === 'restore' &&
      saw(other, deletion) &&
      !made.some(({ write }, i) => concerns(write, other.write) && saw(made[i]!, other)),
  )
}

function problemOfFate(
  one: Made,
  made: readonly Made[],
  { record, commits, shown }: Check,
): string | undefined {
  if (!isListed(one, shown)) return 'is not among the live writes'
  if (one.write.op !== 'delete') {
    return shown.deleted && !isCovered(one, made) ? 'is hidden by a deletion' : undefined
  }
  if (shown.deleted) return undefined
  const isAsked = shown.conflicts.some(
    ({ field, values }) => field === '' && values.some((value) => isAt(value, one)),
  )
  // Whoever knew of a deletion and wrote all the same has made the record anew.
  const isAnew =
    made.some(
      (other) => other.write.op !== 'delete' && !isReserved(other.write.field) && saw(other, one),
    ) ||
    commits.some((commit) => editsOf(commit, record).length > 0 && commit.held.has(one.commit.id))
  return isAsked || isAnew ? undefined : 'has no effect, and nobody is told'
}

/** Of Havenmesh's own: no part of what a record shows. */
function isReserved(field: string): boolean {
  return field.startsWith('~')
}

function isListed(one: Made, { live }: Shown): boolean {
  const { field, op, value } = one.write
  return live.some(
    (listed) =>
      listed.field === field &&
      listed.op === op &&
      (op === 'count' || listed.value === value) &&
      isAt(listed, one),
  )
}

function isAt({ feed, seq }: ListedWrite, { commit }: Made): boolean {
  return feed === commit.feed && seq === commit.seq
}

/** Whether a person who looks at the record sees what was written. */
function isShown(
  one: Made,
  made: readonly Made[],
  { shown, says }: { readonly shown: Shown; readonly says: NonNullable<Check['says']> },
): boolean {
  const { field, op, value } = one.write
  // Nothing is left to be seen of a removal; of counts there is the sum.
  if (value === undefined || op === 'remove' || op === 'count') return true
  const conflict = shown.conflicts.find((each) => each.field === field)
  if (conflict?.values.some((each) => each.op === op && each.value === value) === true) return true
  const whole = shown.fields.get(field)
  if (op === 'keep') {
    const kept = (shown.kept.get(field) ?? elementsOf(whole)).map(elementName)
    return elementsOf(value).every(
      (each) =>
        kept.includes(elementName(each)) ||
        (each.startsWith('[') &&
          elementsOf(each).every((element) => kept.includes(elementName(element)))),
    )
  }
  const elements = new Set(elementsOf(whole).map(elementName))
  if (op === 'add') return elements.has(elementName(value))
  if (whole !== undefined && (whole === value || says(field, whole, value))) return true
  if (value.startsWith('[')) {
    return elementsOf(value).every(
      (each) => elements.has(elementName(each)) || isRemoved(one, each, made),
    )
  }
  // What a newer version has done to a counter is not for this one to say.
  if (made.some((other) => other.write.field === field && isUnknown(other.write))) return true
  const counted = sumOf(field, made)
  return counted !== undefined && isInteger(value) && whole === String(BigInt(value) + counted)
}

/** Whether somebody who saw a list took this element out of it. */
function isRemoved(list: Made, element: string, made: readonly Made[]): boolean {
  return made.some(
    (other) =>
      other.write.op === 'remove' &&
      other.write.field === list.write.field &&
      elementName(other.write.value!) === elementName(element) &&
      saw(other, list),
  )
}

/** No increment is lost, and none counts twice. */
function miscounts(record: string, made: readonly Made[], shown: Shown): string[] {
  const problems: string[] = []
  const counted = made.filter(({ write }) => write.op === 'count' && !isReserved(write.field))
  for (const field of new Set(counted.map(({ write }) => write.field))) {
    const ofField = made.filter(({ write }) => write.field === field)
    const isMixed = ofField.some(({ write }) => isUnknown(write) || isOfElement(write))
    const isCleared = counted.every((one) => one.write.field !== field || isCovered(one, made))
    if (isMixed || isCleared || shown.deleted) continue
    if (shown.conflicts.some((each) => each.field === field && each.kind === 'schema')) continue
    const sum = sumOf(field, made) ?? 0n
    const bases = shown.live
      .filter((live) => live.field === field && live.op === 'put' && isInteger(live.value))
      .map(({ value }) => BigInt(value!))
    const whole = shown.fields.get(field)
    if (![0n, ...bases].some((base) => String(base + sum) === whole)) {
      problems.push(
        `${JSON.stringify(field)} of ${record} shows ${whole}, and ${sum} was counted on ${bases.join(' or ')}`,
      )
    }
  }
  return problems
}

function sumOf(field: string, made: readonly Made[]): bigint | undefined {
  const counts = made.filter(({ write }) => write.op === 'count' && write.field === field)
  if (counts.length === 0) return undefined
  return counts.reduce((total, { write }) => total + BigInt(write.value!), 0n)
}

function isInteger(json: string | undefined): boolean {
  return json !== undefined && /^-?\d+$/.test(json)
}

/** Letters stay until somebody who saw them takes them away, or the record with them. */
function lostLetters(
  record: string,
  { commits, made, shown }: { commits: readonly TrueCommit[]; made: readonly Made[]; shown: Shown },
): string[] {
  const problems: string[] = []
  const edited = commits.filter((commit) => editsOf(commit, record).length > 0)
  const here = new Set(commits.map(({ id }) => id))
  const deletions = made.filter((one) => one.write.op === 'delete' && isInForce(one, made))
  for (const commit of edited) {
    // Until then it waits for what it was written into.
    if (![...commit.held].every((id) => here.has(id))) continue
    const isGone = deletions.some(
      (one) =>
        !isSetAside(one, commit) && (one.commit === commit || one.commit.held.has(commit.id)),
    )
    if (isGone) continue
    const taken = edited
      .filter((later) => later.held.has(commit.id))
      .flatMap((later) => editsOf(later, record).map(({ deleted }) => deleted))
      .join('')
    for (const { field, inserted } of editsOf(commit, record)) {
      const text = shown.deleted ? '' : (shown.fields.get(field) ?? '')
      const lost = Array.from(inserted).filter(
        (letter) => !taken.includes(letter) && !text.includes(letter),
      )
      if (lost.length > 0) {
        const place = placeName(commit.feed, commit.seq)
        problems.push(
          `letters ${lost.join('')} of ${place} in ${JSON.stringify(field)} of ${record} are gone`,
        )
      }
    }
  }
  return problems
}

function editsOf(commit: TrueCommit, record: string): readonly TrueEdit[] {
  return commit.changes.get(record)?.edits ?? []
}
