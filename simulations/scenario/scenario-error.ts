/** What is wrong in a scenario, each with its place in the file. */
export interface Problem {
  /** Such as `devices[0].site`. */
  readonly path: string
  /** From 1; undefined where the file does not have it. */
  readonly line: number | undefined
  readonly message: string
}

export class ScenarioError extends Error {
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[]) {
    const lines = problems.map(({ path, line, message }) => {
      const place = line === undefined ? file : `${file}:${line}`
      return `${place}: ${path === '' ? '' : `${path}: `}${message}`
    })
    super(lines.join('\n'))
    this.name = 'ScenarioError'
    this.problems = problems
  }
}
