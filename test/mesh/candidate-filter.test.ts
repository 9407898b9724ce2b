import { describe, expect, test } from 'vitest'
import { localSubnets } from '../../src/mesh/address.ts'
import { CandidateFilter } from '../../src/mesh/candidate-filter.ts'

const self = 'own peer id'
const tcp = (host: string): string => `/ip4/${host}/tcp/4001`

function filterAt(clock: { ms: number }): CandidateFilter {
  const network = (address: string, bits: number) => {
    const cidr = `${address}/${bits}`
    return { address, cidr, family: 'IPv4' as const, netmask: '', mac: '', internal: false }
  }
  const subnets = localSubnets({
    lo: [network('127.0.0.1', 8)],
    eth0: [network('10.77.0.1', 24)],
    docker0: [network('172.17.0.1', 16)],
  })
  return new CandidateFilter({ self, subnets: () => subnets, nowMs: () => clock.ms })
}

describe('of a multicast answer', () => {
  test('our own and those without an address nearby are dropped', () => {
    const filter = filterAt({ ms: 0 })
    expect(filter.take({ peer: self, addresses: [tcp('10.77.0.1')] })).toBeUndefined()
    const elsewhere = [
      '/dns4/example.invalid/tcp/443',
      '/ip4/8.8.8.8/tcp/4001',
      '/ip4/10.77.0.2/udp/4001',
      '/ip4/10.77.0.2/tcp/4001/ws',
      '/ip4/0.0.0.0/tcp/4001',
      `${tcp('10.77.0.9')}/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp/p2p-circuit`,
      'nonsense',
    ]
    expect(filter.take({ peer: 'a', addresses: elsewhere })).toBeUndefined()
    expect(filter.addresses).toEqual([])
  })

  test('the address that it came from is tried first, those behind a router only for want of others', () => {
    const filter = filterAt({ ms: 0 })
    const addresses = ['192.168.9.9', '172.17.0.1', '127.0.0.1', '10.77.0.3', '10.77.0.2'].map(tcp)
    expect(filter.take({ peer: 'a', addresses, source: '10.77.0.2' })?.addresses).toEqual(
      ['10.77.0.2', '10.77.0.3', '172.17.0.1'].map(tcp),
    )
    expect(filter.take({ peer: 'b', addresses: [tcp('192.168.9.9')] })?.addresses).toEqual([
      tcp('192.168.9.9'),
    ])
  })

  test('loopback counts only when it comes from this host', () => {
    const filter = filterAt({ ms: 0 })
    const addresses = [tcp('127.0.0.1'), tcp('10.77.0.1')]
    const near = filter.take({ peer: 'a', addresses, source: '10.77.0.1' })
    expect(near?.addresses).toEqual([tcp('10.77.0.1'), tcp('127.0.0.1')])
    expect(filter.take({ peer: 'b', addresses: [tcp('127.0.0.1')] })?.addresses).toHaveLength(1)
  })

  test('a flood of forged ones takes neither memory nor the place of the real ones for long', () => {
    const clock = { ms: 0 }
    const filter = filterAt(clock)
    const real = { peer: 'real', addresses: [tcp('10.77.0.2')], source: '10.77.0.2' }
    expect(filter.take(real)).toBeDefined()
    let taken = 0
    for (let i = 0; i < 3_000; i++) {
      clock.ms += 1
      const forged = { peer: `forged ${i}`, addresses: [tcp(`10.77.0.${i % 250}`)] }
      if (filter.take({ ...forged, source: '10.77.0.66' }) !== undefined) taken++
    }
    expect(taken).toBeLessThan(20)
    expect(filter.addresses.length).toBeLessThan(65)
    clock.ms += 1_000
    expect(filter.take(real)).toBeDefined()
  })

  test('the same said twice is one, and an old one is forgotten', () => {
    const clock = { ms: 0 }
    const filter = filterAt(clock)
    const answer = { peer: 'a', addresses: [tcp('10.77.0.2')] }
    expect(filter.take(answer)).toBeDefined()
    clock.ms = 100
    expect(filter.take(answer)).toBeUndefined()
    clock.ms = 5_000
    expect(filter.take(answer)).toBeDefined()
    expect(filter.addresses).toEqual([tcp('10.77.0.2')])
    clock.ms = 70_000
    expect(filter.addresses).toEqual([])
  })
})
