/**
 * What the live writes of one field come to, by their ops and by the rule of the field. docs/data-model.md,
 * "Strategies".
 */
import { compareCandidates, sees } from './candidates.ts'
import type { Candidate, Causality, FieldCandidates } from './candidates.ts'
import { countOf, integerOf } from './counts.ts'
import { elementsOf } from './json-text.ts'
import type { FieldRule } from './reading.ts'
import { elementKey } from './slots.ts'
import { transformNamed } from './transforms.ts'
import { isKnownOp, isOfElement } from './writes.ts'

/** What a reader sees of a field. */
export interface FieldValue {
  /** JSON text; absent: the field is not there. */
  readonly value: string | undefined
  /** The write that gives the field its place among the others. */
  readonly by: Candidate
  readonly dispute: Dispute | undefined
  /** All values of a conflict that a person has settled by keeping them. */
  readonly kept: readonly string[] | undefined
  /** An integer: what was counted, besides whatever was put. */
  readonly counted?: string
  /** A newer version wrote here. */
  readonly unknown: boolean
}

/** Several live writes that do not say the same. */
export interface Dispute {
  readonly kind: 'update-update' | 'schema'
  /** `open`: a person has to decide; `review`: decided by the rule, and to be looked at. */
  readonly state: 'open' | 'review'
  /** One write of each value, the greatest first. */
  readonly values: readonly Candidate[]
  readonly problem?: string
}

/**
 * @param field.live - at least one
 * @param field.all - with those that are replaced
 */
export function fieldValue(
  { all, live }: FieldCandidates,
  rule: FieldRule,
  causality: Causality,
): FieldValue {
  if (live.length === 1) return valueOfOne(live[0]!, rule)
  const greatestFirst = live.toSorted((a, b) => compareCandidates(b, a))
  if (live.some(({ write }) => !isKnownOp(write.op))) {
    return { ...register(greatestFirst, rule), unknown: true }
  }
  const counts = live.filter(({ write }) => write.op === 'count')
  const ofElements = live.some(({ write }) => isOfElement(write.op))
  if (counts.length > 0) {
    const counted = countedIn(counts, all, causality)
    const value = ofElements
      ? inconsistent(greatestFirst, 'It was written as a set and as a counter.')
      : counter(greatestFirst, counted)
    return { ...value, counted: String(counted) }
  }
  if (ofElements || rule.strategy === 'set') return set(greatestFirst, { all, rule, causality })
  if (rule.strategy === 'transform') return transformed(greatestFirst, rule)
  return register(greatestFirst, rule)
}

function valueOfOne(one: Candidate, rule: FieldRule): FieldValue {
  const { op, value } = one.write
  const known = isKnownOp(op)
  const plain = { value, by: one, dispute: undefined, kept: undefined, unknown: !known }
  if (!known || op === 'put') return plain
  if (op === 'keep') return register([one], rule)
  if (op === 'add') return { ...plain, value: `[${value}]` }
  if (op === 'count') {
    const counted = String(countOf(value)!.total)
    return { ...plain, value: counted, counted }
  }
  return { ...plain, value: undefined }
}

function register(greatestFirst: readonly Candidate[], rule: FieldRule): FieldValue {
  const values = distinct(greatestFirst)
  const by = values[0]!
  const kept = by.write.op === 'keep' ? elementsOf(by.write.value!) : undefined
  return {
    value: kept === undefined ? by.write.value : kept[0],
    by,
    dispute:
      values.length === 1
        ? undefined
        : {
            kind: 'update-update',
            state: rule.strategy === 'lww' || rule.strategy === 'counter' ? 'review' : 'open',
            values,
          },
    kept: values.length === 1 ? kept : undefined,
    unknown: false,
  }
}

/** Values that this rule can't make one of: shown as they are, for a person to settle. */
function inconsistent(greatestFirst: readonly Candidate[], problem: string): FieldValue {
  const values = distinct(greatestFirst)
  const by = values.find(({ write }) => write.op === 'put') ?? values[0]!
  return {
    value: by.write.op === 'put' ? by.write.value : undefined,
    by,
    dispute: { kind: 'schema', state: 'open', values, problem },
    kept: undefined,
    unknown: false,
  }
}

/** Add wins: an element is there if somebody added it, and nobody who knew of that removed it. */
function set(
  greatestFirst: readonly Candidate[],
  {
    all,
    rule,
    causality,
  }: {
    readonly all: readonly Candidate[]
    readonly rule: FieldRule
    readonly causality: Causality
  },
): FieldValue {
  const lists = new Map<Candidate, readonly string[]>()
  for (const one of greatestFirst) {
    if (isOfElement(one.write.op)) continue
    const list = listOf(one)
    if (list !== undefined) lists.set(one, list)
    else if (greatestFirst.some(({ write }) => isOfElement(write.op))) {
      return inconsistent(greatestFirst, 'It was written as a set and as a single value.')
    } else return register(greatestFirst, rule)
  }
  const removals = new Map<string, Candidate[]>()
  for (const one of all) {
    if (one.write.op !== 'remove') continue
    const key = elementKey(one.write.value)
    removals.set(key, [...(removals.get(key) ?? []), one])
  }
  const elements = new Map<string, string>()
  const taken: string[] = []
  for (const one of greatestFirst.toReversed()) {
    if (one.write.op === 'add') {
      const key = elementKey(one.write.value)
      if (!elements.has(key)) taken.push(one.write.value!)
      elements.set(key, one.write.value!)
      continue
    }
    // Within one list an element may stand twice.
    const before = new Set(elements.keys())
    for (const element of lists.get(one) ?? []) {
      const key = elementKey(element)
      if (before.has(key) || removals.get(key)?.some((by) => sees(by, one, causality))) continue
      elements.set(key, element)
      taken.push(element)
    }
  }
  const anyEmpty = [...lists].some(
    ([{ write }, list]) => write.value !== undefined && list.length === 0,
  )
  return {
    value: taken.length === 0 && !anyEmpty ? undefined : `[${taken.join(',')}]`,
    // Where the first of it was written: adding to a set does not move it.
    by: greatestFirst.at(-1)!,
    dispute: undefined,
    kept: undefined,
    unknown: false,
  }
}

/** The elements of a put or keep; undefined when it is no list. */
function listOf({ write }: Candidate): readonly string[] | undefined {
  if (write.value === undefined) return []
  if (!write.value.startsWith('[')) return undefined
  const elements = elementsOf(write.value)
  if (write.op !== 'keep') return elements
  return elements.every((each) => each.startsWith('[')) ? elements.flatMap(elementsOf) : undefined
}

/** The greatest number that somebody put, and all that was counted. */
function counter(greatestFirst: readonly Candidate[], counted: bigint): FieldValue {
  const puts = greatestFirst.filter(
    ({ write }) => write.op !== 'count' && write.value !== undefined,
  )
  const bases = puts.map(({ write }) => integerOf(write.value))
  if (bases.includes(undefined)) {
    return inconsistent(
      greatestFirst,
      'It was counted, and written as something else than a whole number.',
    )
  }
  const different = distinct(puts)
  return {
    value: String(BigInt(bases[0] ?? 0) + counted),
    by: greatestFirst.at(-1)!,
    dispute:
      different.length > 1
        ? { kind: 'update-update', state: 'review', values: different }
        : undefined,
    kept: undefined,
    unknown: false,
  }
}

/**
 * What the counts come to. A branch of a forked feed counts on from what its feed had counted: that is there once, not in
 * each.
 */
function countedIn(
  counts: readonly Candidate[],
  all: readonly Candidate[],
  causality: Causality,
): bigint {
  const totalOf = ({ write }: Candidate): bigint => BigInt(countOf(write.value)!.total)
  let sum = 0n
  for (const one of counts) {
    sum += totalOf(one)
    const inherited = all
      .filter(
        (other) =>
          other.write.op === 'count' &&
          other.by.feed === one.by.feed &&
          causality.isBranchOf(one.by.writer, other.by.writer),
      )
      .toSorted((a, b) => b.write.commit.seq - a.write.commit.seq)[0]
    if (inherited !== undefined) sum -= totalOf(inherited)
  }
  return sum
}

function transformed(greatestFirst: readonly Candidate[], rule: FieldRule): FieldValue {
  const transform = rule.transform === undefined ? undefined : transformNamed(rule.transform)
  const puts = greatestFirst.filter(({ write }) => write.op === 'put' && write.value !== undefined)
  const values = distinct(greatestFirst)
  // Of a newer version, settled by hand, or all the same: shown as any field where a person decides.
  if (transform === undefined || puts.length !== greatestFirst.length || values.length === 1) {
    return register(greatestFirst, rule)
  }
  const result = transform(values.map(({ write }) => write.value!))
  if (result === undefined) return register(greatestFirst, rule)
  return {
    value: result.value,
    by: values[0]!,
    dispute: result.undecided ? { kind: 'update-update', state: 'open', values } : undefined,
    kept: undefined,
    unknown: false,
  }
}

/** Of each different value the greatest write. */
export function distinct(greatestFirst: readonly Candidate[]): Candidate[] {
  if (greatestFirst.length === 1) return [...greatestFirst]
  const seen = new Set<string>()
  return greatestFirst.filter(({ write }) => {
    const key = `${write.op}\0${write.value ?? '\0'}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}
