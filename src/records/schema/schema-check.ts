/** What would not survive the step from one version of a schema to the next. */
import { collectionOf } from '../fhir.ts'
import { type FieldRule, ranks } from '../reading.ts'
import { builtInFields, builtInTypes } from './built-in-schema.ts'
import { SchemaBook } from './schema-book.ts'
import type { SchemaDocument } from './schema-document.ts'
import type { Report, SchemaFinding, SchemaPair } from './schema-finding.ts'
import { stepFindings } from './step-check.ts'

/**
 * @param old - what is applied now; its version 0 stands for the built-in schema
 * @param earlier - versions before it, as far as they are known
 * @returns errors first, then losses, then notes
 */
export function checkSchemas(
  old: SchemaDocument,
  next: SchemaDocument,
  earlier: readonly SchemaDocument[] = [],
): SchemaFinding[] {
  const found = new Map<string, SchemaFinding>()
  const reportOf =
    (type: string | undefined): Report =>
    (finding) => {
      const of = (each: string | undefined): string =>
        JSON.stringify([each ?? null, finding.about, finding.field, finding.message])
      // What holds for all records is said once.
      if (found.has(of(undefined)) || found.has(of(type))) return
      found.set(of(type), { ...finding, type: type ?? null })
    }
  checkVersions(old, next, reportOf(undefined))
  const pair = comparable(old, next, earlier)
  const types = [undefined, ...typesOf(old, next)]
  for (const type of types) {
    checkFields(pair, { type, fields: declaredIn(pair.old, type) }, reportOf(type))
    const graph = pair.book.graphOf(type)
    if (graph !== undefined) stepFindings({ ...pair, type, graph }, reportOf(type))
  }
  // What nobody has named comes after what somebody has.
  for (const type of types) {
    checkDeletePolicy(pair, type, reportOf(type))
    checkFields(pair, { type, fields: builtInFields(type) }, reportOf(type))
  }
  const order = ['error', 'loss', 'note']
  return [...found.values()].toSorted(
    (a, b) => order.indexOf(a.severity) - order.indexOf(b.severity),
  )
}

/** As if one came right after the other, whatever they say of that. */
function comparable(
  old: SchemaDocument,
  next: SchemaDocument,
  earlier: readonly SchemaDocument[],
): SchemaPair {
  const isKnown = earlier.some(({ version }) => version === old.from)
  const before: SchemaDocument = { ...old, from: isKnown ? old.from : 0 }
  const after: SchemaDocument = {
    ...next,
    version: Math.max(next.version, old.version + 1),
    from: old.version,
  }
  const documents = old.version === 0 ? [after] : [...earlier, before, after]
  const book = new SchemaBook(documents.map((document) => ({ document, text: '' })))
  return {
    old: before,
    next: after,
    book,
    readOld: book.reading(before.version),
    readNext: book.reading(after.version),
  }
}

function checkVersions(old: SchemaDocument, next: SchemaDocument, report: Report): void {
  const whole = { severity: 'error', field: null } as const
  if (old.collection !== next.collection) {
    const message = `It is of the collection ${next.collection}, the other one of ${old.collection}.`
    report({ ...whole, about: 'collection', message })
  }
  if (next.version <= old.version) {
    const message = `Its version, ${next.version}, is not higher than ${old.version}.`
    report({ ...whole, about: 'version', message })
  } else if (next.from !== old.version) {
    const message = `Its lens starts from version ${next.from}, not from ${old.version}: give it "lens": {"from": ${old.version}, "steps": [...]}.`
    report({ ...whole, about: 'version', message })
  }
}

/** Types that either schema says something of, as far as records of them are in the collection. */
function typesOf(old: SchemaDocument, next: SchemaDocument): Set<string> {
  // The built-in schema speaks of all types, whatever the collection.
  const named = (old.version === 0 ? [next] : [old, next]).flatMap(({ types, steps }) => [
    ...types.keys(),
    ...steps.flatMap(({ type }) => type ?? []),
  ])
  const isOfImports = builtInTypes.some((type) => collectionOf(type) === next.collection)
  const builtIn = builtInTypes.filter(
    (type) => !isOfImports || collectionOf(type) === next.collection,
  )
  return new Set([...named, ...builtIn])
}

function checkDeletePolicy(pair: SchemaPair, type: string | undefined, report: Report): void {
  const id = recordOf(type)
  const before = pair.readOld.deletePolicyOf(id)
  const after = pair.readNext.deletePolicyOf(id)
  if (before === after) return
  report({
    severity: after === 'resurrect' ? 'loss' : 'note',
    about: 'delete-policy',
    field: null,
    message:
      after === 'resurrect'
        ? 'A deletion that missed an edit is no longer asked about: the record comes back by itself.'
        : 'A deletion that missed an edit waits for a person from now on.',
  })
}

function checkFields(
  pair: SchemaPair,
  { type, fields }: { readonly type: string | undefined; readonly fields: Iterable<string> },
  report: Report,
): void {
  const { old, next, book, readOld, readNext } = pair
  const id = recordOf(type)
  const declared = declaredIn(old, type)
  const declaredNext = declaredIn(next, type)
  for (const field of fields) {
    const names = namesIn(next.version, { field, from: old.version, type, book })
    const before = readOld.ruleOf(id, field)
    for (const name of names) {
      const after = readNext.ruleOf(id, name)
      const change = changeOfRule(before, after)
      if (name !== field && name.startsWith(`${field}@`)) {
        const message = `The name stands for another field now: what is there shows as ${JSON.stringify(name)}.`
        if (declared.has(field)) report({ severity: 'loss', about: 'field', field, message })
      } else if (change !== undefined) {
        const isDropped = declared.has(field) && !declaredNext.has(name)
        const message = isDropped
          ? `It is not named any more, so that other rules hold. ${change.message}`
          : change.message
        report({ ...change, field, message })
      }
    }
  }
}

/** Fields that a schema names for records of a type. */
function declaredIn(document: SchemaDocument, type: string | undefined): Set<string> {
  const ofType = type === undefined ? undefined : document.types.get(type)?.fields.keys()
  return new Set([...document.fields.keys(), ...(ofType ?? [])])
}

/** The names under which the values of a field show in another version. */
function namesIn(
  version: number,
  {
    field,
    from,
    type,
    book,
  }: {
    readonly field: string
    readonly from: number
    readonly type: string | undefined
    readonly book: SchemaBook
  },
): readonly string[] {
  const id = recordOf(type)
  const lenses = book.reading(version).lensesOf(id)
  if (lenses === undefined) return [field]
  const parts = lenses.partsOf({ schemaVersion: from, field, op: 'put', value: undefined })
  if ('problem' in parts) return [field]
  return lenses.fieldsFrom(parts.map((part) => part.field)).map((each) => each.field)
}

type RuleChange = Pick<SchemaFinding, 'severity' | 'about' | 'message'>

function changeOfRule(before: FieldRule, after: FieldRule): RuleChange | undefined {
  if (before.strategy !== after.strategy) return changeOfStrategy(before, after)
  if (before.transform !== after.transform) {
    const message = `Concurrent values are merged by ${after.transform}, not by ${before.transform}.`
    return { severity: 'note', about: 'strategy', message }
  }
  if (ranks.indexOf(after.rank) > ranks.indexOf(before.rank)) {
    const message = `Its conflicts are listed as ${after.rank} instead of ${before.rank}.`
    return { severity: 'note', about: 'rank', message }
  }
  return undefined
}

function changeOfStrategy(before: FieldRule, after: FieldRule): RuleChange | undefined {
  const of = (severity: 'loss' | 'note', message: string): RuleChange => ({
    severity,
    about: 'strategy',
    message: `From ${before.strategy} to ${after.strategy}: ${message}`,
  })
  const { strategy } = after
  switch (before.strategy) {
    case 'lww':
      return strategy === 'mvr' || strategy === 'transform'
        ? undefined
        : of('note', takenOver[strategy])
    case 'mvr':
      if (strategy === 'lww')
        return of('loss', 'of two values one wins without anybody being asked.')
      return of(strategy === 'counter' ? 'loss' : 'note', takenOver[strategy])
    case 'transform':
      return strategy === 'mvr'
        ? of('note', 'a person decides what was merged by itself.')
        : of('loss', 'of two values one wins without being merged or asked about.')
    case 'set':
      return strategy === 'mvr'
        ? of('note', 'two people who add something at once find a conflict.')
        : of('loss', 'of two people who add something at once, one loses it.')
    case 'counter':
      return of('loss', 'what several devices count at once no longer adds up.')
    case 'text':
    default:
      return of('loss', 'what was typed stays behind, and edits no longer merge.')
  }
}

/** What becomes of values that were written as one. */
const takenOver: Readonly<Record<FieldRule['strategy'], string>> = {
  lww: '',
  mvr: '',
  transform: 'concurrent values are merged by it, where it understands them.',
  set: 'lists are put together; what is no list stays a single value.',
  counter: 'whole numbers count on; what is none can not be counted.',
  text: 'a value that is there is taken over by the first edit of the text.',
}

/** Some record of a type. */
function recordOf(type: string | undefined): string {
  return type === undefined ? 'any' : `${type}/any`
}
