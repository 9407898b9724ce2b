/** What an entry of a medication list says: which drug, which dose, and what else. Simple objects and FHIR R4 resources alike. */
import { canonicalJson, membersOf } from './json-text.ts'
import { doseKey, folded, objectKey } from './medication-dose.ts'
import { type JsonNode, type JsonObject, parseJsonTree } from './schema/json-tree.ts'

/** Of an entry; texts of members are JSON, as they were written. */
export interface MedicationEntry {
  readonly text: string
  readonly members: ReadonlyMap<string, string>
  /** By which a drug is known for certain, each with its system: a code, or the record of a medicine. */
  readonly codes: ReadonlyMap<string, string>
  /** Folded. Of a drug that has codes they only tell what may be the same. */
  readonly names: ReadonlySet<string>
  /** What is said about the drug besides: equal for the same. */
  readonly about: string
  /** Equal for equal doses; of an entry without one, too. */
  readonly dose: string
  /** Everything else, by member: equal for what says the same. */
  readonly rest: ReadonlyMap<string, string>
}

const drugMembers: ReadonlySet<string> = new Set([
  'drug',
  'name',
  'code',
  'medication',
  'medicationCodeableConcept',
  'medicationReference',
])
const doseMembers: ReadonlySet<string> = new Set(['dose', 'dosage', 'unit', 'dosageInstruction'])

export type Part = 'drug' | 'dose' | 'rest'

export function partOf(name: string): Part {
  if (drugMembers.has(name)) return 'drug'
  return doseMembers.has(name) ? 'dose' : 'rest'
}

/**
 * @param text - JSON
 * @returns undefined for what names no drug
 * @throws HavenError `JSON_INVALID`
 */
export function entryOf(text: string): MedicationEntry | undefined {
  const tree = parseJsonTree(text)
  if (tree.kind !== 'object') return undefined
  const nodes = new Map([...tree.members].map(([name, { value }]) => [name, value]))
  const members = new Map(membersOf(text))
  const drug = new Drug(containedIn(nodes.get('contained')))
  const doses = new Map<string, JsonNode>()
  const rest = new Map<string, string>()
  for (const [name, node] of nodes) {
    const part = partOf(name)
    if (part === 'drug') drug.take(node, name === 'code')
    else if (part === 'dose') doses.set(name, node)
    // A name that an application gave the entry, not what it says.
    else if (name !== 'id') rest.set(name, canonicalJson(members.get(name)!))
  }
  if (!drug.isKnown) return undefined
  const { codes, names } = drug
  const about = JSON.stringify(drug.more.toSorted())
  return { text, members, codes, names, about, dose: objectKey(doses), rest }
}

/** Contained medicines by their local id. */
function containedIn(contained: JsonNode | undefined): ReadonlyMap<string, JsonNode> {
  const byId = new Map<string, JsonNode>()
  if (contained?.kind !== 'array') return byId
  for (const one of contained.elements) {
    if (one.kind !== 'object') continue
    const id = one.members.get('id')?.value
    const code = one.members.get('code')?.value
    if (id?.kind === 'string' && code !== undefined) byId.set(`#${id.value}`, code)
  }
  return byId
}

class Drug {
  readonly codes = new Map<string, string>()
  readonly names = new Set<string>()
  readonly more: string[] = []
  readonly #contained: ReadonlyMap<string, JsonNode>

  constructor(contained: ReadonlyMap<string, JsonNode>) {
    this.#contained = contained
  }

  get isKnown(): boolean {
    return this.codes.size + this.names.size > 0
  }

  /** A text, CodeableConcept, Coding, Reference or CodeableReference. */
  take(node: JsonNode, isCode = false): void {
    if (node.kind === 'string') {
      if (isCode) this.#addCode('', folded(node.value))
      else this.#addName(node.value)
      return
    }
    if (node.kind !== 'object') {
      this.more.push(doseKey(node))
      return
    }
    const nodes = new Map([...node.members].map(([name, { value }]) => [name, value]))
    const code = textIn(nodes, 'code')
    if (code !== undefined) this.#addCode(textIn(nodes, 'system') ?? '', code)
    for (const [name, value] of nodes) this.#takeMember(name, value)
  }

  #takeMember(name: string, value: JsonNode): void {
    if (name === 'coding' && value.kind === 'array') {
      for (const coding of value.elements) this.take(coding)
    } else if (name === 'concept') this.take(value)
    else if (name === 'reference') this.#takeReference(value)
    else if (name === 'identifier' && value.kind === 'object') this.#takeIdentifier(value)
    else if (name === 'code' && value.kind === 'object') this.take(value)
    else if (value.kind !== 'string') this.more.push(JSON.stringify([name, doseKey(value)]))
    else if (name === 'text' || name === 'display') this.#addName(value.value)
    // `type` says what kind of record a reference leads to.
    else if (!['code', 'system', 'type', 'id'].includes(name)) {
      this.more.push(JSON.stringify([name, value.value]))
    }
  }

  #takeReference(value: JsonNode): void {
    if (value.kind !== 'string') {
      this.take(value)
      return
    }
    if (!value.value.startsWith('#')) {
      this.#addCode('\0reference', value.value)
      return
    }
    // A local id means something within its own entry only.
    const contained = this.#contained.get(value.value)
    if (contained !== undefined) this.take(contained)
  }

  /** Of a record that is not named by its place. */
  #takeIdentifier({ members }: JsonObject): void {
    const nodes = new Map([...members].map(([name, { value }]) => [name, value]))
    const value = textIn(nodes, 'value')
    if (value !== undefined) this.#addCode(`\0identifier\0${textIn(nodes, 'system') ?? ''}`, value)
  }

  #addCode(system: string, code: string): void {
    if (code !== '') this.codes.set(JSON.stringify([system, code]), system)
  }

  #addName(name: string): void {
    const plain = folded(name)
    if (plain !== '') this.names.add(plain)
  }
}

function textIn(nodes: ReadonlyMap<string, JsonNode>, name: string): string | undefined {
  const node = nodes.get(name)
  return node?.kind === 'string' ? node.value : undefined
}
