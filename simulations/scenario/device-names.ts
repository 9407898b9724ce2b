import type { Scenario } from './scenario-schema.ts'

/** Of all devices, in the order of their indexes. */
export function deviceNames({ devices }: Pick<Scenario, 'devices'>): string[] {
  return devices.flatMap(({ name, count }) =>
    count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`),
  )
}

/** Indexes of devices by the names of groups, or of single ones. */
export function indexesOf(scenario: Pick<Scenario, 'devices'>, names: readonly string[]): number[] {
  const all = deviceNames(scenario)
  const found = new Set<number>()
  for (const name of names) {
    let first = 0
    for (const group of scenario.devices) {
      if (group.name === name) for (let i = 0; i < group.count; i++) found.add(first + i)
      first += group.count
    }
    const single = all.indexOf(name)
    if (single !== -1) found.add(single)
  }
  return [...found].toSorted((a, b) => a - b)
}
