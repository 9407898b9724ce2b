/** Addresses as this folder passes them around: multiaddrs in text form, TCP only, and never with a peer id. */
import { networkInterfaces } from 'node:os'
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { HavenError } from '../core/errors.ts'

const hostProtocols = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6'])

/**
 * Reads what a person typed or a QR code held: a multiaddr, with or without `/p2p/…`, or simply `10.0.0.5:4001`.
 *
 * @returns the multiaddr without a peer id: who answers there is found out by the handshake
 * @throws HavenError `ADDRESS_INVALID`
 */
export function parseAddress(text: string): string {
  const trimmed = text.trim()
  try {
    const { protocol, host, port } = partsOf(multiaddr(fromHostAndPort(trimmed) ?? trimmed))
    if (port > 0 && !isUnspecified(host)) return `/${protocol}/${host}/tcp/${port}`
  } catch (cause) {
    throw invalid(trimmed, cause)
  }
  throw invalid(trimmed)
}

/** The IP address or name in an address that {@link parseAddress} returned. */
export function hostOf(address: string): string {
  return address.split('/')[2] ?? ''
}

/** A multiaddr as libp2p has it, without its peer id; undefined when it is not plain TCP. */
export function withoutPeerId(address: Multiaddr): string | undefined {
  try {
    const { protocol, host, port } = partsOf(address)
    return `/${protocol}/${host}/tcp/${port}`
  } catch {
    return undefined
  }
}

export function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

export function isLoopback(host: string): boolean {
  return host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** Whether an IP address can only be that of a device nearby; false for names. */
export function isLocalNetwork(host: string): boolean {
  if (isIPv4(host)) return localNetworks.check(host, 'ipv4')
  return isIPv6(host) && localNetworks.check(host, 'ipv6')
}

/** What this host's interfaces can reach without a router. */
export interface LocalSubnets {
  /** An address of this host itself. */
  isOwn(host: string): boolean
  contains(host: string): boolean
}

export function localSubnets(interfaces = networkInterfaces()): LocalSubnets {
  const subnets = new BlockList()
  const own = new Set<string>()
  for (const { address, cidr, family } of Object.values(interfaces).flatMap((list) => list ?? [])) {
    own.add(address)
    const prefix = Number(cidr?.split('/')[1])
    if (Number.isInteger(prefix)) {
      subnets.addSubnet(address, prefix, family === 'IPv4' ? 'ipv4' : 'ipv6')
    }
  }
  return {
    isOwn: (host) => own.has(host),
    contains: (host) => isIP(host) !== 0 && subnets.check(host, isIPv4(host) ? 'ipv4' : 'ipv6'),
  }
}

const localNetworks = new BlockList()
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const) {
  localNetworks.addSubnet(network, prefix, 'ipv4')
}
for (const [network, prefix] of [
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10],
] as const) {
  localNetworks.addSubnet(network, prefix, 'ipv6')
}

/** @throws Error when it is anything else than a host and a TCP port, with or without a peer id behind them */
function partsOf(address: Multiaddr): { protocol: string; host: string; port: number } {
  const [first, second, ...rest] = address.getComponents()
  const isPlain =
    first !== undefined &&
    second !== undefined &&
    hostProtocols.has(first.name) &&
    second.name === 'tcp' &&
    rest.every((component) => component.name === 'p2p') &&
    rest.length <= 1
  if (!isPlain) throw new Error('not a host and a TCP port')
  return { protocol: first.name, host: first.value ?? '', port: Number(second.value) }
}

function fromHostAndPort(text: string): string | undefined {
  const match = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<host>[a-z0-9.-]+)):(?<port>\d{1,5})$/i.exec(text)
  if (match?.groups === undefined) return undefined
  const { v6, host, port } = match.groups
  if (v6 !== undefined) return `/ip6/${v6}/tcp/${port}`
  // What is all digits and dots is a mistyped IP address, not a name.
  return `/${/^[\d.]+$/.test(host ?? '') ? 'ip4' : 'dns'}/${host}/tcp/${port}`
}

function invalid(text: string, cause?: unknown): HavenError {
  return new HavenError(
    'ADDRESS_INVALID',
    `"${text.slice(0, 120)}" is not an address. Write it like 192.168.1.20:4001 or /ip4/192.168.1.20/tcp/4001.`,
    { cause },
  )
}
