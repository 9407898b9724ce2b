/** What the steps of a lens can't take along. */
import type { Strategy } from '../reading.ts'
import { isExactBothWays, unitChange } from './decimal.ts'
import { sourcesOf, targetsOf } from './document-meaning.ts'
import type { FieldGraph } from './field-graph.ts'
import type { LensStep } from './schema-document.ts'
import type { Report, SchemaPair } from './schema-finding.ts'
import { valueKey } from './value-change.ts'

export interface StepsToCheck extends SchemaPair {
  readonly type: string | undefined
  readonly graph: FieldGraph
}

export function stepFindings(check: StepsToCheck, report: Report): void {
  const { next, type, graph } = check
  for (const { version, step, field, problem } of graph.problems) {
    if (version !== next.version) continue
    const message = `Step ${step + 1} of the lens can not be followed: the field ${problem}.`
    report({ severity: 'error', about: 'step', field, message })
  }
  for (const step of next.steps) {
    if (step.type !== undefined && step.type !== type) continue
    checkKinds(step, check, report)
    checkStep(step, report)
  }
}

/** Values that are merged in some other way than as a whole. */
function checkKinds(step: LensStep, check: StepsToCheck, report: Report): void {
  if (step.kind === 'default') return
  const fields = [
    ...sourcesOf(step).map((field) => ({ field, reading: check.readOld })),
    ...targetsOf(step).map((field) => ({ field, reading: check.readNext })),
  ]
  const id = check.type === undefined ? 'any' : `${check.type}/any`
  for (const { field, reading } of fields) {
    const { strategy } = reading.ruleOf(id, field)
    if (strategy === 'text') {
      const message =
        'It is a text, which is merged character by character under its name: no step can take it to another one.'
      report({ severity: 'error', about: 'rename', field, message })
    } else {
      const message = lossByKind(step, strategy)
      if (message !== undefined) report({ severity: 'loss', about: topicOf(step), field, message })
    }
  }
}

function lossByKind(step: LensStep, strategy: Strategy): string | undefined {
  if (step.kind === 'rename') return undefined
  const isDivided = step.kind === 'split' || step.kind === 'merge'
  if (strategy === 'counter') return 'It is a counter, and what was counted can not be converted.'
  if (strategy === 'set' && isDivided) {
    return 'It is a set, and its elements can be neither divided nor put together.'
  }
  if (strategy === 'transform' && isDivided) {
    return 'It is merged by a transform, which would see parts of its values only.'
  }
  return undefined
}

function checkStep(step: LensStep, report: Report): void {
  switch (step.kind) {
    case 'map':
      checkMap(step, report)
      return
    case 'unit':
      checkUnit(step, report)
      return
    case 'split':
      report({
        severity: 'note',
        about: 'parts',
        field: step.from,
        message: `It is divided at ${JSON.stringify(step.separator)}, and what is no text can not be divided. What is left goes into ${JSON.stringify(step.to.at(-1))}.`,
      })
      return
    case 'merge':
      report({
        severity: 'note',
        about: 'parts',
        field: step.to,
        message: `Where a part has ${JSON.stringify(step.separator)} in it, what the new version writes is divided in another place in the old one.`,
      })
      return
    case 'rename':
    case 'default':
    default:
  }
}

function checkMap(step: Extract<LensStep, { kind: 'map' }>, report: Report): void {
  const oldByNew = Map.groupBy(step.values, ([, now]) => valueKey(now))
  for (const pairs of oldByNew.values()) {
    if (pairs.length === 1) continue
    const [[first, now], ...others] = pairs as [[string, string], ...[string, string][]]
    report({
      severity: 'loss',
      about: 'map',
      field: step.field,
      message: `${[first, ...others.map(([old]) => old)].join(', ')} all become ${now}: the old version shows ${first} for each that the new one writes.`,
    })
  }
  const listed = new Set(step.values.map(([old]) => valueKey(old)))
  const unsayable = [...oldByNew].filter(([key]) => !listed.has(key)).map(([, [pair]]) => pair![1])
  if (unsayable.length > 0) {
    report({
      severity: 'note',
      about: 'map',
      field: step.field,
      message: `Other values go through as they are, but ${unsayable.join(', ')} of the old version can not be said in the new one.`,
    })
  }
}

function checkUnit(step: Extract<LensStep, { kind: 'unit' }>, report: Report): void {
  const about = { severity: 'note', about: 'unit', field: step.field } as const
  report({ ...about, message: 'Values that are no numbers can not be said in the other version.' })
  const unit = unitChange(step.factor, step.offset)
  if (unit !== undefined && !isExactBothWays(unit)) {
    const message = `What the new version writes is rounded in the old one: division by ${step.factor} has no end.`
    report({ ...about, message })
  }
}

function topicOf(step: LensStep): 'unit' | 'map' | 'parts' {
  return step.kind === 'unit' || step.kind === 'map' ? step.kind : 'parts'
}
