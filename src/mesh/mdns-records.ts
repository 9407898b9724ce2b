/**
 * The multicast DNS records by which libp2p hosts find each other: a PTR from the service to a name that means nothing,
 * and TXT records of that name with addresses.
 *
 * @see https://github.com/libp2p/specs/blob/master/discovery/mdns.md
 */
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import type { QueryPacket, ResponseOutgoingPacket, ResponsePacket } from 'multicast-dns'

const ttlSeconds = 120
/** A TXT string takes 255 bytes, with its key. */
const addressBytesMax = 240
const addressesMax = 16
const addressKey = 'dnsaddr='

export interface Announcement {
  /** The name behind the PTR. */
  name: string
  peer: string
  addresses: string[]
}

export function asksFor(service: string, query: QueryPacket): boolean {
  return (query.questions ?? []).some((question) => question.name === service)
}

/** @param announcement.addresses - without peer ids */
export function toAnswer(
  service: string,
  { name, peer, addresses }: Announcement,
): ResponseOutgoingPacket {
  const full = `${name}.${service}`
  const texts = addresses
    .map((address) => `${address}/p2p/${peer}`)
    .filter((address) => address.length <= addressBytesMax)
    .slice(0, addressesMax)
  return {
    answers: [
      { name: service, type: 'PTR', class: 'IN', ttl: ttlSeconds, data: full },
      ...texts.map((address) => ({
        name: full,
        type: 'TXT' as const,
        class: 'IN' as const,
        ttl: ttlSeconds,
        data: `${addressKey}${address}`,
      })),
    ],
  }
}

/** @returns undefined when it is about something else, or malformed */
export function fromAnswer(service: string, packet: ResponsePacket): Announcement | undefined {
  const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])]
  const pointer = records.find((record) => record.type === 'PTR' && record.name === service)
  if (pointer?.type !== 'PTR') return undefined
  const texts = records
    .flatMap((record) => (record.type === 'TXT' ? [record.data].flat() : []))
    .map((data) => data.toString())
    .filter((text) => text.startsWith(addressKey))
    .slice(0, addressesMax)
    .map((text) => text.slice(addressKey.length))
  const peer = texts[0] === undefined ? undefined : peerIn(texts[0])
  if (peer === undefined) return undefined
  return { name: pointer.data.slice(0, -service.length - 1), peer, addresses: texts }
}

function peerIn(address: string): string | undefined {
  try {
    return multiaddr(address)
      .getComponents()
      .findLast((component) => component.code === CODE_P2P)?.value
  } catch {
    return undefined
  }
}
