import { describe, expect, test } from 'vitest'
import { isLocalNetwork, parseAddress } from '../../src/mesh/address.ts'

const peer = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

describe('an address', () => {
  test.each([
    ['192.168.1.20:4001', '/ip4/192.168.1.20/tcp/4001'],
    [' tablet.local:80 ', '/dns/tablet.local/tcp/80'],
    ['[fe80::1]:4001', '/ip6/fe80::1/tcp/4001'],
    ['/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1'],
    [`/ip4/10.0.0.1/tcp/1/p2p/${peer}`, '/ip4/10.0.0.1/tcp/1'],
  ])('%s is read', (text, address) => {
    expect(parseAddress(text)).toBe(address)
  })

  test.each([
    '',
    'tablet',
    '10.0.0.1',
    '10.0.0.1:0',
    '10.0.0.1:70000',
    '999.0.0.1:80',
    '0.0.0.0:4001',
    '/ip4/10.0.0.1/udp/1',
    '/ip4/10.0.0.1/tcp/1/ws',
    `/ip4/10.0.0.1/tcp/1/p2p/${peer}/p2p-circuit`,
    `/p2p/${peer}`,
    'http://10.0.0.1:80/',
  ])('%s is refused', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'ADDRESS_INVALID' }))
  })

  test('is nearby when it is private, link-local, shared or loopback', () => {
    for (const host of [
      '10.1.2.3',
      '172.31.0.1',
      '192.168.0.1',
      '169.254.1.1',
      '127.0.0.1',
      '::1',
      'fe80::1',
      'fd00::1',
      '100.64.0.1',
    ]) {
      expect(isLocalNetwork(host), host).toBe(true)
    }
    for (const host of [
      '8.8.8.8',
      '172.32.0.1',
      '2001:db8::1',
      'localhost',
      '0.0.0.0',
      '224.0.0.251',
    ]) {
      expect(isLocalNetwork(host), host).toBe(false)
    }
  })
})
