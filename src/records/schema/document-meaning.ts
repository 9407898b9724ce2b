/** What a JSON Schema can't say about a schema: whether its parts go together. */
import { limits } from '../../core/limits.ts'
import { integerOf } from '../counts.ts'
import type { FieldRule } from '../reading.ts'
import { unitChange } from './decimal.ts'
import type { SchemaProblem } from './document-shape.ts'
import { FieldGraph } from './field-graph.ts'
import { FieldRules } from './field-rules.ts'
import type { LensStep, SchemaDocument } from './schema-document.ts'

/** @param placeOf - index of the character where the value of a path begins */
export function problemsOfMeaning(
  document: SchemaDocument,
  placeOf: (path: string) => number,
): SchemaProblem[] {
  const problems: SchemaProblem[] = []
  const report: Report = (path, problem) => problems.push({ at: placeOf(path), path, problem })
  if (document.from >= document.version && document.version > 0) {
    report('lens.from', `has to be lower than the version, ${document.version}`)
  }
  checkFields(document.fields, 'fields', report)
  for (const [type, { fields }] of document.types) {
    checkFields(fields, `types.${type}.fields`, report)
  }
  for (const [index, step] of document.steps.entries()) {
    checkStep(step, document, (path, problem) => report(`lens.steps[${index}]${path}`, problem))
  }
  if (problems.length === 0) checkSteps(document, report)
  return problems
}

type Report = (path: string, problem: string) => void

function checkFields(fields: ReadonlyMap<string, FieldRule>, path: string, report: Report): void {
  for (const [field, { strategy }] of fields) {
    const at = `${path}.${/^\w+$/.test(field) ? field : JSON.stringify(field)}`
    if (isTooLong(field)) report(at, `is longer than ${limits.fieldNameBytes} bytes`)
    if (strategy === 'text' && field.endsWith('[x]')) {
      report(at, 'stands for several fields, and can not be a text that is edited')
    }
  }
}

function checkStep(step: LensStep, document: SchemaDocument, report: Report): void {
  const rule = (field: string): FieldRule | undefined => ruleIn(document, step.type, field)
  for (const field of fieldsOf(step)) {
    if (isTooLong(field)) report(`.${step.kind}`, `is longer than ${limits.fieldNameBytes} bytes`)
    if (field.endsWith('[x]')) report(`.${step.kind}`, 'needs the names of single fields')
  }
  if (step.kind === 'default') {
    const problem = problemOfDefault(step.value, rule(step.field))
    if (problem !== undefined) report('.default.value', problem)
    return
  }
  if (step.kind === 'rename' && step.from === step.to) {
    report('.rename', 'gives a field the name that it has')
  }
  if (step.kind === 'unit' && unitChange(step.factor, step.offset) === undefined) {
    report('.unit', 'has a number beyond all measure')
  }
  for (const field of targetsOf(step)) {
    if (rule(field)?.strategy === 'text') {
      report(
        `.${step.kind}`,
        `makes the text ${JSON.stringify(field)}: a text is merged character by character under one name, and can not come from another field`,
      )
    }
  }
}

/** Whether the steps can be followed one after the other, whatever was before. */
function checkSteps(document: SchemaDocument, report: Report): void {
  const types = new Set([undefined, ...document.steps.map(({ type }) => type)])
  const reported = new Set<string>()
  for (const type of types) {
    const graph = new FieldGraph(
      [{ ...document, version: Math.max(1, document.version), from: 0 }],
      type,
    )
    for (const { step, field, problem } of graph.problems) {
      const path = `lens.steps[${step}]`
      if (reported.has(path)) continue
      reported.add(path)
      report(path, `can not be followed: ${JSON.stringify(field)} ${problem}`)
    }
  }
}

function problemOfDefault(value: string, rule: FieldRule | undefined): string | undefined {
  if (rule?.strategy === 'counter' && integerOf(value) === undefined) {
    return 'has to be a whole number: the field counts'
  }
  if (rule?.strategy === 'set' && !value.startsWith('[')) {
    return 'has to be a list: the field is a set'
  }
  if (rule?.strategy === 'text' && !value.startsWith('"')) {
    return 'has to be a text: the field is one'
  }
  return undefined
}

/** What this document itself says of a field. */
function ruleIn(
  document: SchemaDocument,
  type: string | undefined,
  field: string,
): FieldRule | undefined {
  const ofType = type === undefined ? undefined : document.types.get(type)?.fields
  return (
    (ofType && new FieldRules(ofType).ruleOf(field)) ??
    new FieldRules(document.fields).ruleOf(field)
  )
}

/** Fields of the version before that a step takes. */
export function sourcesOf(step: LensStep): readonly string[] {
  if (step.kind === 'rename' || step.kind === 'split') return [step.from]
  return step.kind === 'merge' ? step.from : [step.field]
}

/** Fields of the new version that it makes. */
export function targetsOf(step: LensStep): readonly string[] {
  if (step.kind === 'rename' || step.kind === 'merge') return [step.to]
  return step.kind === 'split' ? step.to : [step.field]
}

function fieldsOf(step: LensStep): string[] {
  return [...new Set([...sourcesOf(step), ...targetsOf(step)])]
}

function isTooLong(field: string): boolean {
  return Buffer.byteLength(field, 'utf8') > limits.fieldNameBytes
}
