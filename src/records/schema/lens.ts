/** From the versions of a schema to one of them: see `Lenses` in reading.ts. */
import { elementsOf } from '../json-text.ts'
import { unknownVersion } from '../lenses-for.ts'
import type { CanonicalPart, Inexpressible, Lenses, OutOfPlace, ReadField } from '../reading.ts'
import { isKnownOp, isOfElement } from '../writes.ts'
import type { FieldGraph, FieldTable } from './field-graph.ts'
import {
  canonicalSlots,
  carryInSlot,
  isCanonical,
  isOfOne,
  notExpressible,
  readSlot,
  type Slot,
  writeElement,
  writeSlot,
} from './slot.ts'

type LensWrite = Parameters<Lenses['partsOf']>[0]

/**
 * @param version - one of the graph's
 */
export function lensesTo(version: number, graph: FieldGraph): Lenses {
  return new LensesTo(graph, graph.table(version)!)
}

class LensesTo implements Lenses {
  readonly #graph: FieldGraph
  /** By canonical name: the field that it is part of, and the slots of that field. */
  readonly #homes = new Map<string, Home>()
  readonly #table: FieldTable

  constructor(graph: FieldGraph, table: FieldTable) {
    this.#graph = graph
    this.#table = table
    for (const [field, slot] of graph.namedFields(table)) {
      const from = canonicalSlots(slot).map((each) => this.#nameOf(each))
      const home = { field, from, slot }
      for (const name of from) this.#homes.set(name, home)
    }
  }

  get defaults(): ReadonlyMap<string, string> {
    return this.#table.defaults
  }

  partsOf(write: LensWrite): readonly CanonicalPart[] | OutOfPlace {
    const table = this.#graph.table(write.schemaVersion)
    if (table === undefined) return unknownVersion
    const { field, op, value } = write
    const slot = field === '' ? undefined : this.#graph.slotOf(table, field)
    if (slot === undefined) return [{ field: plainName(field), value }]
    const parts = attempt(() => this.#parts(slot, op, value))
    if (!('problem' in parts)) return parts
    const canonical = this.#nameOf(canonicalSlots(slot)[0]!)
    const home = { field: this.#homes.get(canonical)?.field ?? field, canonical }
    return { ...parts, home }
  }

  fieldsFrom(canonical: Iterable<string>): readonly ReadField[] {
    const fields = new Map<string, ReadField>()
    const homeless: string[] = []
    for (const name of canonical) {
      const home = this.#homes.get(name)
      if (home !== undefined) {
        if (!fields.has(home.field)) fields.set(home.field, readFieldOf(home))
        continue
      }
      const field = fieldNamed(name)
      if (!isSlotName(name) && this.#graph.slotOf(this.#table, field) === undefined) {
        fields.set(field, { field, from: [name], read: ([value]) => value })
      } else homeless.push(name)
    }
    for (const name of homeless) {
      const field = fieldNamed(name)
      fields.set(field, withHomeless(field, fields.get(field), name))
    }
    return [...fields.values()]
  }

  #parts(
    slot: Slot,
    op: string,
    value: string | undefined,
  ): readonly CanonicalPart[] | Inexpressible {
    const names = canonicalSlots(slot).map((each) => this.#nameOf(each))
    if (op === 'put') {
      const values = writeSlot(slot, value)
      return names.map((field, index) => ({ field, value: values[index] }))
    }
    const [field] = names
    if (isOfElement(op) && isOfOne(slot)) {
      return [{ field: field!, value: writeElement(slot, value!) }]
    }
    if (op === 'keep' && isOfOne(slot)) {
      const kept = elementsOf(value!).map((each) => writeSlot(slot, each)[0])
      return [{ field: field!, value: `[${kept.join(',')}]` }]
    }
    if (!isKnownOp(op)) {
      // Wherever it is read, the field is one that a newer version has written.
      const values = carryInSlot(slot, value)
      return names.map((name, index) => ({ field: name, value: values[index] }))
    }
    // A count is no value that could be converted.
    return isCanonical(slot) ? [{ field: field!, value }] : notExpressible
  }

  /** A name that no field can have stands for a slot that has its own name in some versions only. */
  #nameOf(slot: Slot): string {
    return this.#graph.isRoot(slot) ? plainName(slot.name) : `${slotPrefix}${slot.id}:${slot.name}`
  }
}

interface Home {
  readonly field: string
  readonly from: readonly string[]
  readonly slot: Slot
}

function readFieldOf({ field, from, slot }: Home): ReadField {
  return { field, from, read: (values) => attempt(() => readSlot(slot, values)) }
}

/** A field whose name means something else in this version, and that has no other name either. */
function withHomeless(field: string, home: ReadField | undefined, name: string): ReadField {
  const from = [...(home?.from ?? []), name]
  return {
    field,
    from,
    read: (values) =>
      values.at(-1) === undefined ? home?.read(values.slice(0, -1)) : notExpressible,
  }
}

// ---- canonical names ----

const slotPrefix = '\0'

/** Nothing that a member writes can be taken for a slot. */
function plainName(field: string): string {
  return field.startsWith(slotPrefix) ? `${slotPrefix}${slotPrefix}${field}` : field
}

function isSlotName(canonical: string): boolean {
  return canonical.startsWith(slotPrefix) && !canonical.startsWith(slotPrefix + slotPrefix)
}

function fieldNamed(canonical: string): string {
  if (isSlotName(canonical)) return canonical.slice(canonical.indexOf(':') + 1)
  return canonical.startsWith(slotPrefix) ? canonical.slice(2 * slotPrefix.length) : canonical
}

// ---- what can't be said ----

/** A view is made of what others wrote: whatever it is, it must not end in an exception. */
function attempt<T>(read: () => T): T | Inexpressible {
  try {
    return read()
  } catch {
    return notExpressible
  }
}
