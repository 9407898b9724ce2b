/**
 * What really happened: which writes people made, and what lay before them when they did. Told by whoever plays the devices, and never
 * read from what a commit says of itself, so that a check against it holds the product to account.
 */

/** One write, as its author meant it. */
export interface TrueWrite {
  /** Empty for what concerns the record as a whole. */
  readonly field: string
  readonly op: string
  /** JSON text; of `count` what is added. Undefined: the field is removed. */
  readonly value: string | undefined
  /** Places of the commits whose writes it leaves as they are: {@link placeName}. */
  readonly unseen: readonly string[]
}

/** Letters, each of which stands for itself alone in the whole history. */
export interface TrueEdit {
  readonly field: string
  readonly inserted: string
  readonly deleted: string
}

/** What a commit does to one record. */
export interface TrueChange {
  /** In their order: each lies before the author of the next. */
  readonly writes: readonly TrueWrite[]
  readonly edits: readonly TrueEdit[]
}

export interface TrueCommit {
  readonly id: string
  readonly feed: string
  readonly seq: number
  /** Ids of the commits that its device held, and of all that the devices of these held when they wrote them; not its own. */
  readonly held: ReadonlySet<string>
  /** By record; what was spoilt on purpose, so that nobody may accept it, is not there. */
  readonly changes: ReadonlyMap<string, TrueChange>
}

export function placeName(feed: string, seq: number): string {
  return `${feed}:${seq}`
}

/** One write of a record, and where it stands. */
export interface Made {
  readonly commit: TrueCommit
  readonly write: TrueWrite
  /** Among the commit's writes of the record. */
  readonly index: number
}

/** All writes of a record that these commits hold. */
export function writesOf(commits: Iterable<TrueCommit>, record: string): Made[] {
  const made: Made[] = []
  for (const commit of commits) {
    const { writes = [] } = commit.changes.get(record) ?? {}
    for (const [index, write] of writes.entries()) made.push({ commit, write, index })
  }
  return made
}

/** Whether the author of `later` had `earlier` before them, and did not leave it as it was. */
export function saw(later: Made, earlier: Made): boolean {
  if (later.commit === earlier.commit) return later.index > earlier.index
  return later.commit.held.has(earlier.commit.id) && !isSetAside(later, earlier.commit)
}

/** Nobody sets aside what they write themselves right then. */
export function isSetAside({ write, commit }: Made, other: TrueCommit): boolean {
  return commit !== other && write.unseen.includes(placeName(other.feed, other.seq))
}

const knownOps = new Set(['put', 'keep', 'add', 'remove', 'count', 'delete', 'restore'])

/** Whether it is an op of a version that is yet to come. */
export function isUnknown({ op }: TrueWrite): boolean {
  return !knownOps.has(op)
}

export function isOfElement({ op }: TrueWrite): boolean {
  return op === 'add' || op === 'remove'
}

/**
 * Whether a write of this kind stands in place of the other one, if its author had that before them. One of a field as a whole
 * replaces all of it but what was counted, one of an element what was said of this element, and no count is ever replaced, but by
 * what nobody here understands.
 */
export function concerns(later: TrueWrite, earlier: TrueWrite): boolean {
  if (later.field !== earlier.field || later.op === 'count') return false
  if (isOfElement(later)) return isOfElement(earlier) && isSameElement(later, earlier)
  return earlier.op !== 'count' || isUnknown(later)
}

function isSameElement(a: TrueWrite, b: TrueWrite): boolean {
  return elementName(a.value!) === elementName(b.value!)
}

/** One text for every way to write an element: members by name, letters without escapes; numbers as they are written. */
export function elementName(json: string): string {
  // Numbers become texts that keep their digits, and no text looks like one of these.
  const texts = json.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    token.startsWith('"') ? token : `"\\u0000${token}"`,
  )
  return JSON.stringify(sorted(JSON.parse(texts)))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]))
}

/** The elements of a list that is written without white space; none for anything else. */
export function elementsOf(json: string | undefined): string[] {
  if (json?.startsWith('[') !== true) return []
  const elements: string[] = []
  let depth = 0
  let from = 1
  for (let at = 0; at < json.length; at++) {
    const letter = json[at]!
    if (letter === '"') {
      for (at++; json[at] !== '"'; at++) if (json[at] === '\\') at++
    } else if (letter === '[' || letter === '{') depth++
    else if (letter === ']' || letter === '}') depth--
    if ((letter === ',' && depth === 1) || depth === 0) {
      if (at > from) elements.push(json.slice(from, at))
      from = at + 1
    }
  }
  return elements
}
