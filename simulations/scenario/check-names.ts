/** What a scenario names has to be there: sites, links, devices. */
import { deviceNames } from './device-names.ts'
import type { Scenario } from './scenario-schema.ts'

interface NamedProblem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

export function checkNames(scenario: Scenario): NamedProblem[] {
  const problems: NamedProblem[] = []
  const sites = new Set(scenario.sites)
  const links = new Set(Object.keys(scenario.links))
  const groups = new Set([...scenario.devices.map(({ name }) => name), ...deviceNames(scenario)])
  const knows = (
    what: string,
    known: ReadonlySet<string>,
    name: string | undefined,
    path: readonly PropertyKey[],
  ): void => {
    if (name !== undefined && !known.has(name))
      problems.push({ path, message: `there is no ${what} "${name}"` })
  }
  if (sites.size < scenario.sites.length)
    problems.push({ path: ['sites'], message: 'a site is named twice' })
  const all = deviceNames(scenario)
  const twice = all.find((name, index) => all.indexOf(name) !== index)
  if (twice !== undefined)
    problems.push({ path: ['devices'], message: `two devices are named "${twice}"` })
  for (const [index, { site }] of scenario.devices.entries())
    knows('site', sites, site, ['devices', index, 'site'])
  for (const [index, mobility] of scenario.mobility.entries()) {
    const at = (...rest: PropertyKey[]): PropertyKey[] => ['mobility', index, ...rest]
    if ('link' in mobility) knows('link', links, mobility.link, at('link'))
    if ('devices' in mobility)
      for (const [nth, name] of mobility.devices.entries())
        knows('device', groups, name, at('devices', nth))
    if (mobility.kind === 'lan')
      for (const [nth, site] of (mobility.sites ?? []).entries())
        knows('site', sites, site, at('sites', nth))
    if (mobility.kind === 'route')
      for (const [nth, { site }] of mobility.stops.entries())
        knows('site', sites, site, at('stops', nth, 'site'))
    if (mobility.kind === 'uplink') {
      knows('device', groups, mobility.server, at('server'))
      if ((mobility.every === undefined) !== (mobility.length === undefined))
        problems.push({ path: at(), message: 'every and length go together' })
      if (mobility.every !== undefined && mobility.length! > mobility.every)
        problems.push({ path: at('length'), message: 'it is longer than the time between two' })
    }
    if (mobility.kind === 'lan' && (mobility.up === undefined) !== (mobility.down === undefined))
      problems.push({ path: at(), message: 'up and down go together' })
  }
  for (const [index, { devices = [] }] of scenario.workload.entries())
    for (const [nth, name] of devices.entries())
      knows('device', groups, name, ['workload', index, 'devices', nth])
  if (scenario.fidelity === 'model' && scenario.faults.length > 0)
    problems.push({ path: ['faults'], message: 'the model knows no faults: play it in full' })
  for (const [index, { device }] of scenario.faults.entries())
    knows('device', new Set(all), device, ['faults', index, 'device'])
  return problems
}
