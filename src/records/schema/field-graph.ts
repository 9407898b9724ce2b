/**
 * What the fields of every version of a schema have to do with each other: the steps of all lenses, followed once.
 *
 * Each version has a table from the names of its fields to slots (slot.ts). A name that no table lists stands for the same
 * field everywhere. A field whose name is taken by another one in some version shows there under a name with `@` and the
 * nearest version in which the name is its own, so that nothing is out of sight.
 */
import type { LensStep, SchemaDocument } from './schema-document.ts'
import { unitChange } from './decimal.ts'
import type { Slot } from './slot.ts'
import {
  changeOfUnit,
  changeOfValues,
  composed,
  joinTexts,
  reversed,
  splitText,
  type ValueChange,
} from './value-change.ts'

/** The fields of one version. */
export interface FieldTable {
  readonly version: number
  /** Slots by the name that they have in this version; others are {@link FieldGraph.slotOf}. */
  readonly fields: ReadonlyMap<string, Slot>
  /** JSON text by field. */
  readonly defaults: ReadonlyMap<string, string>
  /** By a name with `@`: the field's own name, and the version nearest to this one in which it has it. */
  readonly displaced: ReadonlyMap<string, { readonly field: string; readonly version: number }>
}

/** A step that could not be followed: the fields are then new ones that have nothing to do with the old. */
export interface StepProblem {
  readonly version: number
  /** Index in the lens. */
  readonly step: number
  readonly field: string
  readonly problem: string
}

interface Building extends FieldTable {
  readonly fields: Map<string, Slot>
  readonly defaults: Map<string, string>
  readonly displaced: Map<string, { readonly field: string; readonly version: number }>
  readonly from: number
  /** Names that this version's steps have freed and not used again, and what they stand for since. */
  readonly freed: Map<string, Slot>
  /** Names that this version's steps have given to a field. */
  readonly given: Set<string>
}

export class FieldGraph {
  readonly problems: StepProblem[] = []
  readonly #roots = new Map<string, Slot>()
  readonly #tables = new Map<number, Building>()
  readonly #type: string | undefined
  #slots = 0

  /**
   * @param documents - by version, the lowest first; each builds on version 0 or on one before it
   * @param type - FHIR resource type of the records; undefined: of none
   */
  constructor(documents: readonly SchemaDocument[], type: string | undefined) {
    this.#type = type
    this.#tables.set(0, emptyTable(0, 0))
    for (const document of documents) this.#addVersion(document)
    this.#showNewcomersElsewhere()
  }

  /** Undefined: the version is not among the documents. */
  table(version: number): FieldTable | undefined {
    return this.#tables.get(version)
  }

  /** Of a field by its name in a version. Undefined: the same field in every version, or none where the name is taken. */
  slotOf(table: FieldTable, field: string): Slot | undefined {
    return table.fields.get(field) ?? this.#roots.get(field)
  }

  /** All fields of a version that some step has to do with. */
  namedFields(table: FieldTable): Map<string, Slot> {
    const named = new Map(table.fields)
    for (const [field, slot] of this.#roots) if (!named.has(field)) named.set(field, slot)
    return named
  }

  #addVersion({ version, from, steps }: SchemaDocument): void {
    const before = this.#tables.get(from)
    if (before === undefined) throw new TypeError('a schema without the version that it builds on')
    const table: Building = {
      ...emptyTable(version, from),
      fields: new Map(before.fields),
      defaults: new Map(before.defaults),
      displaced: new Map(before.displaced),
    }
    this.#tables.set(version, table)
    for (const [index, step] of steps.entries()) {
      if (step.type !== undefined && step.type !== this.#type) continue
      this.#follow(step, table, (field, problem) => {
        this.problems.push({ version, step: index, field, problem })
      })
    }
  }

  #follow(step: LensStep, table: Building, problem: Problem): void {
    switch (step.kind) {
      case 'rename': {
        const value = table.defaults.get(step.from)
        this.#put(table, step.to, this.#take(table, step.from, problem), problem)
        if (value !== undefined) table.defaults.set(step.to, value)
        return
      }
      case 'unit': {
        const unit = unitChange(step.factor, step.offset)
        if (unit !== undefined) this.#change(table, step.field, changeOfUnit(unit), problem)
        return
      }
      case 'map':
        this.#change(table, step.field, changeOfValues(step.values), problem)
        return
      case 'split':
        this.#split(table, step, problem)
        return
      case 'merge':
        this.#merge(table, step, problem)
        return
      case 'default':
        table.defaults.set(step.field, step.value)
    }
  }

  #change(table: Building, field: string, change: ValueChange, problem: Problem): void {
    const old = table.fields.get(field) ?? this.#root(field)
    const slot = this.#slot(field, table.version)
    // The newest version holds the value as it is written; where two versions go different ways, the later one is computed.
    if (old.madeOf === undefined) old.madeOf = { kind: 'changed', slot, change: reversed(change) }
    else slot.madeOf = { kind: 'changed', slot: old, change }
    table.fields.set(field, slot)
    const value = table.defaults.get(field)
    if (value === undefined) return
    const changed = change.toNew(value)
    if (changed === undefined) {
      table.defaults.delete(field)
      problem(field, 'has a default that this step can not take over')
    } else table.defaults.set(field, changed)
  }

  #split(table: Building, step: Extract<LensStep, { kind: 'split' }>, problem: Problem): void {
    const { from, to, separator } = step
    const value = table.defaults.get(from)
    const whole = this.#take(table, from, problem)
    let parts = partsOf(whole, step)
    if (parts === undefined) {
      parts = to.map((name) => this.#slot(name, table.version))
      const inner = this.#undivided(whole)
      if (inner === undefined) {
        problem(from, 'was put together in another way and can not be divided like this')
        this.#displace(table, from, whole)
        for (const part of parts) this.#newcomers.add(part)
      } else inner.madeOf = { kind: 'parts', slots: parts, separator }
    }
    for (const [index, name] of to.entries()) this.#put(table, name, parts[index]!, problem)
    const values = value === undefined ? undefined : splitText(value, separator, to.length)
    if (value !== undefined && values === undefined) {
      problem(from, 'has a default that this step can not take over')
    }
    for (const [index, part] of values?.entries() ?? []) {
      if (part !== undefined) table.defaults.set(to[index]!, part)
    }
  }

  /** A canonical slot with this one's values: where they are computed from another one, that is computed from them instead. */
  #undivided(whole: Slot): Slot | undefined {
    const changes: ValueChange[] = []
    let below = whole
    while (below.madeOf !== undefined) {
      if (below.madeOf.kind === 'parts') return undefined
      if (below.madeOf.kind === 'changed') changes.push(below.madeOf.change)
      below = below.madeOf.slot
    }
    if (changes.length === 0) return below
    const slot = this.#slot(whole.name, whole.born)
    below.madeOf = { kind: 'changed', slot, change: reversed(composed(changes)) }
    whole.madeOf = { kind: 'same', slot }
    return slot
  }

  #merge(table: Building, step: Extract<LensStep, { kind: 'merge' }>, problem: Problem): void {
    const { from, to, separator } = step
    const values = from.map((field) => table.defaults.get(field))
    const slots = from.map((field) => this.#take(table, field, problem))
    const slot = this.#slot(to, table.version)
    slot.madeOf = { kind: 'parts', slots, separator }
    this.#put(table, to, slot, problem)
    const present = values.filter((value) => value !== undefined)
    if (present.length === 0) return
    const value = present.length === from.length ? joinTexts(present, separator) : undefined
    if (value === undefined) problem(to, 'has parts with a default, which it can not take over')
    else table.defaults.set(to, value)
  }

  // ---- names ----

  /** What the name stands for; from then on it is free for another field. */
  #take(table: Building, field: string, problem: Problem): Slot {
    if (table.freed.has(field)) problem(field, 'was taken away by a step before')
    const slot = table.fields.get(field) ?? this.#root(field)
    const free = this.#slot(field, table.version)
    table.fields.set(field, free)
    table.freed.set(field, free)
    this.#newcomers.add(free)
    table.given.delete(field)
    table.displaced.delete(field)
    table.defaults.delete(field)
    return slot
  }

  #put(table: Building, field: string, slot: Slot, problem: Problem): void {
    if (table.given.has(field)) problem(field, 'is given to two fields')
    const free = table.freed.get(field)
    if (free === undefined) {
      this.#displace(table, field, table.fields.get(field) ?? this.#root(field))
    } else {
      table.freed.delete(field)
      this.#newcomers.delete(free)
    }
    table.fields.set(field, slot)
    table.given.add(field)
    table.defaults.delete(field)
  }

  #displace(table: Building, field: string, slot: Slot): void {
    this.#showAs(table, slot, { field, version: table.from })
  }

  #showAs(table: Building, slot: Slot, own: { field: string; version: number }): void {
    let name = `${own.field}@${own.version}`
    while (table.fields.has(name)) name += '@'
    table.fields.set(name, slot)
    table.displaced.set(name, own)
  }

  /** Fields that began with a version: under a name that was freed, or by a step that could not be followed. */
  readonly #newcomers = new Set<Slot>()

  /** They are out of place in the versions that do not build on theirs. */
  #showNewcomersElsewhere(): void {
    for (const table of this.#tables.values()) {
      const ancestors = this.#withAncestors(table)
      for (const slot of this.#newcomers) {
        if (ancestors.has(slot.born)) continue
        this.#showAs(table, slot, { field: slot.name, version: slot.born })
      }
    }
  }

  #withAncestors(table: Building): Set<number> {
    const versions = new Set<number>()
    for (let at = table; !versions.has(at.version); at = this.#tables.get(at.from)!) {
      versions.add(at.version)
    }
    return versions
  }

  #root(field: string): Slot {
    let slot = this.#roots.get(field)
    if (slot === undefined) {
      slot = this.#slot(field, 0)
      this.#roots.set(field, slot)
    }
    return slot
  }

  #slot(name: string, born: number): Slot {
    return { id: this.#slots++, name, born, madeOf: undefined }
  }

  /** Whether the name stands for the same field in all versions, so that this slot is just it. */
  isRoot(slot: Slot): boolean {
    return this.#roots.get(slot.name) === slot
  }
}

type Problem = (field: string, problem: string) => void

/** The parts of a slot, if it was put together from as many with the same separator. */
function partsOf(
  slot: Slot,
  { to, separator }: { readonly to: readonly string[]; readonly separator: string },
): readonly Slot[] | undefined {
  const { madeOf } = slot
  if (madeOf?.kind === 'same') return partsOf(madeOf.slot, { to, separator })
  if (madeOf?.kind !== 'parts' || madeOf.separator !== separator) return undefined
  return madeOf.slots.length === to.length ? madeOf.slots : undefined
}

function emptyTable(version: number, from: number): Building {
  return {
    version,
    from,
    fields: new Map(),
    defaults: new Map(),
    displaced: new Map(),
    freed: new Map(),
    given: new Set(),
  }
}
