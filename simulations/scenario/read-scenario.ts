/** Reads a scenario file (YAML or JSON) into a checked scenario. */
import { LineCounter, isNode, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { checkNames } from './check-names.ts'
import { ScenarioError } from './scenario-error.ts'
import type { Problem } from './scenario-error.ts'
import { scenarioSchema } from './scenario-schema.ts'
import type { Scenario } from './scenario-schema.ts'

type Path = readonly PropertyKey[]

export interface ReadOptions {
  /** For messages. */
  readonly file: string
  /** Values that take the place of what the file says, by path: `devices.0.count`. */
  readonly set?: readonly (readonly [path: string, value: string])[]
}

/** @throws ScenarioError */
export function readScenario(text: string, { file, set = [] }: ReadOptions): Scenario {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ message, pos }) => ({
      path: '',
      line: lines.linePos(pos[0]).line,
      message,
    }))
    throw new ScenarioError(file, problems)
  }
  for (const [path, value] of set) setValue(document, path, value, file)
  const placed = (path: Path, message: string): Problem => ({
    path: pathText(path),
    line: lineOf(document, path, lines),
    message,
  })
  const parsed = scenarioSchema.safeParse(document.toJS())
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]!] : issue.path
      return placed(path, issue.message)
    })
    throw new ScenarioError(file, problems)
  }
  const problems = checkNames(parsed.data).map(({ path, message }) => placed(path, message))
  if (problems.length > 0) throw new ScenarioError(file, problems)
  return parsed.data
}

function setValue(document: Document, path: string, value: string, file: string): void {
  const keys = path.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key))
  // As it would be read in the file: a number, a truth, a text.
  const parsed: unknown = parseDocument(value).toJS()
  if (!document.hasIn(keys.slice(0, -1))) {
    throw new ScenarioError(file, [
      { path, line: undefined, message: 'there is nothing at this place to be set' },
    ])
  }
  document.setIn(keys, parsed)
}

/** Of the place, or of the nearest one around it that the file has. */
function lineOf(document: Document, path: Path, lines: LineCounter): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return undefined
}

function pathText(path: Path): string {
  return path
    .map((key, index) =>
      typeof key === 'number' ? `[${key}]` : index === 0 ? String(key) : `.${String(key)}`,
    )
    .join('')
}
