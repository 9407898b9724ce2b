import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import { expand } from '../../simulations/scenario/expand.ts'
import { scenarioJsonSchema } from '../../simulations/scenario/json-schema.ts'
import { readScenario } from '../../simulations/scenario/read-scenario.ts'
import { ScenarioError } from '../../simulations/scenario/scenario-error.ts'

const root = join(import.meta.dirname, '..', '..')
const folder = join(root, 'simulations', 'scenarios')

const small = `
name: small
question: how late?
duration: 1d
sites: [camp, away]
devices:
  - { name: nurse, count: 3, site: camp }
  - { name: server, role: server, site: away }
links:
  wifi: { latency: 5ms, bandwidth: 2Mbit/s, loss: 1, setup: 3s }
mobility:
  - { kind: lan, link: wifi, sites: [camp] }
  - { kind: uplink, devices: [nurse-1], server: server, link: wifi, every: 12h, length: 20m }
workload:
  - { rate: 2/h, hours: [8, 17], hot: { records: 2, share: 0.5 } }
faults:
  - { kind: crash, device: nurse-2, at: 3h, for: 5m }
`

function problemsOf(text: string, set: [string, string][] = []): string[] {
  try {
    readScenario(text, { file: 'x.yaml', set })
  } catch (error) {
    if (error instanceof ScenarioError) return error.message.split('\n')
    throw error
  }
  return []
}

describe('scenarios', () => {
  test.each(readdirSync(folder))('%s is a good one, and something happens in it', (file) => {
    const scenario = readScenario(readFileSync(join(folder, file), 'utf8'), { file })
    expect(`${scenario.name}.yaml`).toBe(file)
    const { contacts, writes } = expand(scenario, new RandomStreams('1', 0))
    expect(contacts.length).toBeGreaterThan(0)
    expect(writes.length).toBeGreaterThan(0)
  })

  test('become the contacts, writes and faults that they say', () => {
    const scenario = readScenario(small, { file: 'small.yaml' })
    const { devices, contacts, writes, faults, endUs } = expand(scenario, new RandomStreams('1', 0))
    expect(endUs).toBe(86_400e6)
    expect(devices.map(({ name }) => name)).toEqual(['nurse-1', 'nurse-2', 'nurse-3', 'server'])
    const link = { latencyUs: 5_000, bytesPerSecond: 250_000, lossPercent: 1, setupUs: 3e6 }
    expect(contacts).toHaveLength(5)
    expect(contacts).toContainEqual({ a: 0, b: 1, fromUs: 0, toUs: endUs, link })
    expect(contacts).toContainEqual({ a: 0, b: 3, fromUs: 43_200e6, toUs: 44_400e6, link })
    expect(faults).toEqual([
      { kind: 'crash', atUs: 10_800e6, device: 1, forUs: 300e6, power: true },
    ])
    for (const { atUs, device } of writes) {
      expect(device).toBeLessThan(3)
      expect(atUs / 3_600e6).toBeGreaterThanOrEqual(8)
      expect(atUs / 3_600e6).toBeLessThan(17)
    }
  })

  test('give each device the same writes, whoever else there is', () => {
    const writesOf = (count: number): unknown[] =>
      expand(
        readScenario(small, { file: 'x', set: [['devices.0.count', `${count}`]] }),
        new RandomStreams('1', 0),
      ).writes.filter(({ device }) => device === 1)
    expect(writesOf(5)).toEqual(writesOf(3))
  })

  test.each([
    ['duration: 1d', 'duration: soon', 'x.yaml:4: duration: "soon" is not a duration'],
    ['site: camp }', 'site: moon }', 'x.yaml:7: devices[0].site: there is no site "moon"'],
    ['count: 3', 'cuont: 3', 'x.yaml:7: devices[0].cuont: Unrecognized key'],
    ['rate: 2/h', 'rate: -2/h', 'x.yaml:15: workload[0].rate: "-2/h" is no rate'],
    [
      'link: wifi, sites',
      'link: wire, sites',
      'x.yaml:12: mobility[0].link: there is no link "wire"',
    ],
    ['device: nurse-2', 'device: nurse', 'x.yaml:17: faults[0].device: there is no device "nurse"'],
    [', length: 20m', '', 'x.yaml:13: mobility[1]: every and length go together'],
    ['name: server, role', 'name: nurse-1, role', 'devices: two devices are named "nurse-1"'],
    ['sites: [camp, away]', 'sites: [camp, away', 'x.yaml:'],
  ])('with "%s" made "%s" are refused where it stands', (from, to, message) => {
    expect(problemsOf(small.replace(from, to)).join('\n')).toContain(message)
  })

  test('take values from the command line, where there is a place for them', () => {
    expect(problemsOf(small, [['devices.0.count', '5']])).toEqual([])
    expect(problemsOf(small, [['devices.9.count', '5']])[0]).toContain('devices.9.count')
    expect(problemsOf(small, [['fidelity', 'model']])[0]).toContain('the model knows no faults')
  })
})

test('the published schema is the one that is used', () => {
  // When this fails: node scripts/scenario-schema.mjs
  const published: unknown = JSON.parse(
    readFileSync(join(root, 'docs', 'schemas', 'scenario.json'), 'utf8'),
  )
  expect(published).toEqual(JSON.parse(scenarioJsonSchema()))
})
