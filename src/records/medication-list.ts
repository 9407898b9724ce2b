/**
 * Lists of medicines that were changed without seeing each other, merged by drug and dose: the transform `medication-list`.
 * docs/data-model.md, "Medication lists".
 */
import { compareText } from './candidates.ts'
import { canonicalJson, elementsOf } from './json-text.ts'
import { entryOf, type MedicationEntry, type Part, partOf } from './medication-entry.ts'

/** Different entries, and characters, of all lists together: more is no list of what somebody takes. */
const maxEntries = 500
const maxLength = 1024 * 1024

/** An entry, and the lists in which it stands. */
interface Stated {
  readonly entry: MedicationEntry
  readonly lists: ReadonlySet<number>
}

/**
 * One list with every drug and every dose that any of the lists has. Entries of the same drug and the same dose become one, with all that
 * is said in either; where they say different things, both stand. `undecided` where the lists do not agree about a drug that several have.
 *
 * A function of the set of lists: their order decides nothing but in which order the entries stand. Never throws.
 *
 * @param values - JSON texts
 * @returns undefined when one of them is no list of medicines
 */
export function mergeMedicationLists(
  values: readonly string[],
): { readonly value: string; readonly undecided: boolean } | undefined {
  try {
    const lists = [...new Set(values)]
    const stated = statedIn(lists)
    if (stated === undefined) return undefined
    // What all say is left as they say it.
    return lists.length === 1 ? { value: lists[0]!, undecided: false } : merged(stated)
  } catch {
    // What is no JSON, or nested beyond all measure, is no list of medicines.
    return undefined
  }
}

function statedIn(values: readonly string[]): Stated[] | undefined {
  if (values.reduce((sum, { length }) => sum + length, 0) > maxLength) return undefined
  const stated = new Map<string, { entry: MedicationEntry; lists: Set<number> }>()
  for (const [list, value] of values.entries()) {
    for (const text of elementsOf(value)) {
      const known = stated.get(text)
      if (known !== undefined) {
        known.lists.add(list)
        continue
      }
      const entry = entryOf(text)
      if (entry === undefined || stated.size === maxEntries) return undefined
      stated.set(text, { entry, lists: new Set([list]) })
    }
  }
  return [...stated.values()]
}

function merged(stated: readonly Stated[]): { value: string; undecided: boolean } {
  const results: string[] = []
  let undecided = false
  for (const drug of groupsBy(stated, ({ entry }) => [...entry.codes.keys(), ...entry.names])) {
    const lists = listsOf(drug)
    for (const same of groupsBy(drug, ({ entry }) => entryKeys(entry))) {
      for (const result of settled(same)) {
        results.push(textOf(result.map(({ entry }) => entry)))
        if (listsOf(result).size < lists.size) undecided = true
      }
    }
  }
  return { value: `[${results.join(',')}]`, undecided }
}

/** Things that have a key in common, directly or through others; in the order of the first of each. */
function groupsBy<T>(things: readonly T[], keysOf: (thing: T) => readonly string[]): T[][] {
  // To each key a key of the same group, in the end of all the same one.
  const towards = new Map<string, string>()
  const rootOf = (key: string): string => {
    let root = key
    for (let next = towards.get(root); next !== undefined; next = towards.get(root)) root = next
    if (root !== key) towards.set(key, root)
    return root
  }
  for (const [first, ...others] of things.map(keysOf)) {
    for (const other of others) {
      const [a, b] = [rootOf(first!), rootOf(other)]
      if (a !== b) towards.set(b, a)
    }
  }
  return [...Map.groupBy(things, (thing) => rootOf(keysOf(thing)[0]!)).values()]
}

function listsOf(stated: readonly Stated[]): ReadonlySet<number> {
  return new Set(stated.flatMap(({ lists }) => [...lists]))
}

// ---- entries of one drug and one dose ----

/** What becomes of them: each result is made of the entries that it says all of. */
function settled(stated: readonly Stated[]): Stated[][] {
  if (agree(stated.map(({ entry }) => entry))) return [[...stated]]
  const classes = [...Map.groupBy(stated, ({ entry }) => meaning(entry)).values()]
  return classes
    .filter((one) => !classes.some((other) => other !== one && saysAllOf(other, one)))
    .map((one) =>
      [one, ...classes.filter((other) => other !== one && saysAllOf(one, other))].flat(),
    )
}

/** Whether all that they say can stand in one entry. */
function agree(entries: readonly MedicationEntry[]): boolean {
  const fullest = entries.reduce((a, b) => (identity(b).length > identity(a).length ? b : a))
  if (!entries.every((entry) => isNamedWithin(entry, fullest))) return false
  const said = new Map<string, string>()
  for (const [name, key] of entries.flatMap(({ rest }) => [...rest])) {
    if ((said.get(name) ?? key) !== key) return false
    said.set(name, key)
  }
  return true
}

/** Equal for entries that say the same. */
function meaning(entry: MedicationEntry): string {
  const more = [...entry.rest].toSorted(([a], [b]) => compareText(a, b))
  return JSON.stringify([isCoded(entry), identity(entry).toSorted(), entry.about, more])
}

function saysAllOf([whole]: readonly Stated[], [part]: readonly Stated[]): boolean {
  const { entry } = whole!
  if (!isNamedWithin(part!.entry, entry)) return false
  return [...part!.entry.rest].every(([name, key]) => entry.rest.get(name) === key)
}

/**
 * Whether the one is surely the drug of the other, and nothing is said of it that is not said of the other. A drug that is only named may
 * be another than one with a code, and a second code of the same system says another product.
 */
function isNamedWithin(one: MedicationEntry, other: MedicationEntry): boolean {
  if (isCoded(one) !== isCoded(other) || one.about !== other.about) return false
  if (!isCoded(one)) return [...one.names].every((name) => other.names.has(name))
  const systems = new Set(one.codes.values())
  return (
    [...one.codes.keys()].every((code) => other.codes.has(code)) &&
    [...other.codes].every(([code, system]) => one.codes.has(code) || !systems.has(system))
  )
}

function isCoded({ codes }: MedicationEntry): boolean {
  return codes.size > 0
}

function identity(entry: MedicationEntry): string[] {
  return isCoded(entry) ? [...entry.codes.keys()] : [...entry.names]
}

/** Entries that have none in common can't become one: another dose, or a drug that only may be the same. */
function entryKeys(entry: MedicationEntry): string[] {
  return identity(entry).map((drug) => JSON.stringify([isCoded(entry), drug, entry.dose]))
}

/** All that they say in one entry. How the drug and the dose are written comes from one of them. */
function textOf(entries: readonly MedicationEntry[]): string {
  if (entries.length === 1) return entries[0]!.text
  const members = new Map<string, string>()
  const named = havingMost(entries, (entry) => identity(entry).length)
  const candidates = { drug: havingMost(named, ({ names }) => names.size), dose: entries }
  for (const part of ['drug', 'dose'] as const) {
    for (const [name, json] of least(candidates[part].map((entry) => membersOf(entry, part)))) {
      members.set(name, json)
    }
  }
  const others = entries.flatMap((entry) => membersOf(entry, 'rest'))
  for (const [name, json] of others.toSorted(compareMembers)) {
    if (!members.has(name)) members.set(name, json)
  }
  return objectText(members)
}

function havingMost<T>(things: readonly T[], countOf: (thing: T) => number): T[] {
  const most = Math.max(...things.map(countOf))
  return things.filter((thing) => countOf(thing) === most)
}

type Members = readonly (readonly [name: string, json: string])[]

function membersOf(entry: MedicationEntry, part: Part): Members {
  return [...entry.members].filter(([name]) => partOf(name) === part)
}

/** The same of them, in whatever order they are given. */
function least(all: readonly Members[]): Members {
  const texts = all.map((members) => ({ members, text: objectText(members) }))
  return texts.reduce((a, b) => (compareJson(a.text, b.text) <= 0 ? a : b)).members
}

function compareMembers(
  [aName, a]: readonly [string, string],
  [bName, b]: readonly [string, string],
): number {
  return compareText(aName, bName) || compareJson(a, b)
}

function compareJson(a: string, b: string): number {
  const [canonicalA, canonicalB] = [canonicalJson(a), canonicalJson(b)]
  return (
    canonicalA.length - canonicalB.length ||
    compareText(canonicalA, canonicalB) ||
    compareText(a, b)
  )
}

function objectText(members: Iterable<readonly [string, string]>): string {
  return `{${[...members].map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}
