/**
 * What a record comes to for whoever holds all of these commits: the rules of docs/data-model.md once more, plainly, over what the
 * authors really held. Everything that a replica makes of bytes, contexts and states is held against it.
 */
import type { HybridTime } from '../../../src/core/hybrid-time.ts'
import {
  concerns,
  elementName,
  elementsOf,
  isOfElement,
  isSetAside,
  isUnknown,
  saw,
  writesOf,
  type Made,
  type TrueCommit,
} from '../../../simulations/checks/truth.ts'

/** A commit with what it says of itself that people are shown. */
export interface DatedCommit extends TrueCommit {
  /** Hex: the feed, or the first commit of the branch. */
  readonly writer: string
  readonly time: HybridTime
  /** Id of the commit before it in its feed. */
  readonly prev: string
}

export interface Expected {
  /** {@link nameOf} each, sorted. */
  readonly live: readonly string[]
  readonly deleted: boolean
  readonly resurrected: boolean
  readonly fields: ReadonlyMap<string, ExpectedField>
}

export type ExpectedField =
  /** All different values, the greatest first. */
  | { readonly kind: 'values'; readonly values: readonly Value[] }
  | { readonly kind: 'set'; readonly elements: ReadonlySet<string> }
  | { readonly kind: 'sum'; readonly sum: string; readonly bases: readonly Value[] }
  /** Ops that do not go together, so that they are all listed. */
  | { readonly kind: 'mixture'; readonly values: readonly Value[] }

export interface Value {
  readonly op: string
  readonly value: string | undefined
}

/** @param isSet - whether the field is a set by the schema */
export function expectedOf(
  record: string,
  commits: readonly DatedCommit[],
  isSet: (field: string) => boolean,
): Expected {
  const made = withTotals(writesOf(commits, record), commits)
  const candidates = candidatesOf(made)
  const live = candidates.filter(
    (one) => !candidates.some((other) => concerns(other.write, one.write) && saw(other, one)),
  )
  const edits = commits.filter((commit) => (commit.changes.get(record)?.edits.length ?? 0) > 0)
  // As with a value, what counts of a writer is the last.
  const lastEdits = edits.filter(
    (one) => !edits.some((other) => other.writer === one.writer && other.seq > one.seq),
  )
  const fate = fateOf(candidates, live, lastEdits)
  const again = live.filter((one) => isShown(one) && fate.shows(one))
  // A counter shows whole or not at all.
  const counters = new Set(
    again
      .map(({ write }) => write.field)
      .filter((field) => candidates.some(({ write }) => isCountOf(field, write))),
  )
  const shown = live.filter((one) => again.includes(one) || counters.has(one.write.field))
  const fields = new Map<string, ExpectedField>()
  for (const field of new Set(shown.map(({ write }) => write.field))) {
    const of = (some: readonly Counted[]): Counted[] =>
      some.filter(({ write }) => write.field === field)
    const all = { made: of(made), candidates: of(candidates), isSet: isSet(field) }
    fields.set(field, fieldOf(of(shown), all))
  }
  return {
    live: live
      .map(({ commit, write }) => nameOf(writerOf(commit), commit.seq, write))
      .toSorted(compare),
    deleted: fate.deleted,
    resurrected: fate.resurrected,
    fields,
  }
}

/** A name for a live write, without the number in a count, which is what all counts of a writer come to. */
export function nameOf(
  writer: string,
  seq: number,
  { field, op, value }: { field: string; op: string; value: string | undefined },
): string {
  return [`${writer}:${seq}`, field, op, op === 'count' ? '' : value].join(' ')
}

/** What people may be shown of a count: all that was counted so far in its feed, and what the commit added. */
interface Counted extends Made {
  readonly counted?: string
}

function withTotals(made: readonly Made[], commits: readonly DatedCommit[]): Counted[] {
  const byId = new Map(commits.map((commit) => [commit.id, commit]))
  const sum = (one: Made, ids: ReadonlySet<string>): bigint =>
    made
      .filter(({ commit, write }) => ids.has(commit.id) && isCountOf(one.write.field, write))
      .reduce((total, { write }) => total + BigInt(write.value!), 0n)
  return made.map((one) => {
    if (one.write.op !== 'count') return one
    const chain = new Set<string>()
    for (let at = byId.get(one.commit.id); at !== undefined; at = byId.get(at.prev)) {
      chain.add(at.id)
    }
    return { ...one, counted: `[${sum(one, chain)},${sum(one, new Set([one.commit.id]))}]` }
  })
}

function isCountOf(field: string, write: Made['write']): boolean {
  return write.op === 'count' && write.field === field
}

/** What its own writer has not replaced, and each writer's last count. */
function candidatesOf(made: readonly Counted[]): Counted[] {
  return made.filter(
    (one) =>
      !made.some((other) => {
        if (writerOf(other.commit) !== writerOf(one.commit) || !isLater(other, one)) return false
        if (one.write.op === 'count') {
          return other.write.op === 'count' && other.write.field === one.write.field
        }
        return concerns(other.write, one.write) && !isSetAside(other, one.commit)
      }),
  )
}

function isShown({ write }: Made): boolean {
  return write.field !== '' && !write.field.startsWith('~')
}

function isLater(a: Made, b: Made): boolean {
  return a.commit === b.commit ? a.index > b.index : a.commit.seq > b.commit.seq
}

function fateOf(
  candidates: readonly Made[],
  live: readonly Made[],
  edits: readonly TrueCommit[],
): { deleted: boolean; resurrected: boolean; shows: (one: Made) => boolean } {
  const restorations = candidates.filter(({ write }) => write.op === 'restore')
  const isInForce = (one: Made): boolean =>
    one.write.op === 'delete' && !restorations.some((by) => saw(by, one))
  const deletions = candidates.filter(isInForce)
  // What is Havenmesh's own says nothing about whether a record is there.
  const uncovered = candidates.filter(
    (one) =>
      one.write.op !== 'delete' &&
      !one.write.field.startsWith('~') &&
      !deletions.some((by) => saw(by, one)),
  )
  const uncoveredEdits = edits.filter(
    (edit) => !deletions.some((by) => by.commit.held.has(edit.id) && !isSetAside(by, edit)),
  )
  if (deletions.length === 0) return { deleted: false, resurrected: false, shows: () => true }
  if (uncovered.length === 0 && uncoveredEdits.length === 0) {
    return { deleted: true, resurrected: false, shows: () => false }
  }
  const resurrected = live
    .filter(isInForce)
    .some(
      (deletion) =>
        uncovered.some((one) => !saw(one, deletion)) ||
        uncoveredEdits.some((edit) => !edit.held.has(deletion.commit.id)),
    )
  return {
    deleted: false,
    resurrected,
    shows: (one) => resurrected || uncovered.includes(one),
  }
}

function fieldOf(
  live: readonly Counted[],
  all: {
    readonly made: readonly Made[]
    readonly candidates: readonly Made[]
    readonly isSet: boolean
  },
): ExpectedField {
  const counts = live.filter(({ write }) => write.op === 'count')
  const ofElements = live.filter(({ write }) => isOfElement(write))
  const wholes = live.filter((one) => !counts.includes(one) && !ofElements.includes(one))
  const values = valuesOf(live)
  if (live.some(({ write }) => isUnknown(write))) return { kind: 'values', values }
  if (counts.length > 0) {
    const bases = valuesOf(wholes).filter(({ value }) => value !== undefined)
    const isNumber = bases.every(({ op, value }) => op === 'put' && /^-?\d+$/.test(value!))
    if (ofElements.length > 0 || !isNumber) return { kind: 'mixture', values }
    return { kind: 'sum', sum: String(sumOf(counts, all.made, bases[0]?.value)), bases }
  }
  const lists = wholes.map(listOf)
  if (ofElements.length === 0 && !(all.isSet && live.length > 1)) return { kind: 'values', values }
  if (lists.includes(undefined)) {
    return ofElements.length > 0 ? { kind: 'mixture', values } : { kind: 'values', values }
  }
  const elements = new Set<string>()
  for (const [index, list] of lists.entries()) {
    for (const element of list!) {
      const isRemoved = all.candidates.some(
        (by) =>
          by.write.op === 'remove' &&
          elementName(by.write.value!) === elementName(element) &&
          saw(by, wholes[index]!),
      )
      if (!isRemoved) elements.add(elementName(element))
    }
  }
  for (const { write } of ofElements) {
    if (write.op === 'add') elements.add(elementName(write.value!))
  }
  return { kind: 'set', elements }
}

/** Each writer's counts stand together, or are replaced together by what nobody here understands. */
function sumOf(live: readonly Made[], made: readonly Made[], base = '0'): bigint {
  const writers = new Set(live.map(({ commit }) => writerOf(commit)))
  return made
    .filter(({ commit, write }) => write.op === 'count' && writers.has(writerOf(commit)))
    .reduce((sum, { write }) => sum + BigInt(write.value!), BigInt(base))
}

/** The elements of a list, or of several that are kept; undefined for anything else. */
function listOf({ write }: Made): string[] | undefined {
  const { op, value } = write
  if (value === undefined) return []
  if (!value.startsWith('[')) return undefined
  const elements = elementsOf(value)
  if (op !== 'keep') return elements
  return elements.every((each) => each.startsWith('[')) ? elements.flatMap(elementsOf) : undefined
}

function valuesOf(live: readonly Counted[]): Value[] {
  const values = new Map<string, Value>()
  for (const { write, counted } of live.toSorted((a, b) => compareMade(b, a))) {
    const { op } = write
    const value = counted ?? write.value
    if (!values.has(`${op} ${value}`)) values.set(`${op} ${value}`, { op, value })
  }
  return [...values.values()]
}

/** The total order: by what the commits say of their time, then by feed, writer, and place. */
function compareMade(a: Made, b: Made): number {
  const [one, other] = [a.commit as DatedCommit, b.commit as DatedCommit]
  return (
    one.time.ms - other.time.ms ||
    one.time.counter - other.time.counter ||
    compare(one.feed, other.feed) ||
    compare(one.writer, other.writer) ||
    one.seq - other.seq ||
    a.index - b.index
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function writerOf(commit: TrueCommit): string {
  return (commit as DatedCommit).writer
}
