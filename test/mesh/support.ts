import { createHash, randomBytes } from 'node:crypto'
import { createMeshHost } from '../../src/mesh/mesh-host.ts'
import type { MeshHost, MeshHostOptions } from '../../src/mesh/mesh-host.ts'
import type { Link } from '../../src/sync/link.ts'

/** What the owner of a link has seen. */
export interface SeenLink {
  link: Link
  frames: Uint8Array[]
  writables: number
  reasons: string[]
}

export interface TestHost extends MeshHost {
  links: SeenLink[]
  open(): SeenLink[]
  worked: string[]
}

/** A host on loopback that keeps whatever comes. */
export function testHost(
  options: Partial<MeshHostOptions> & {
    onFrame?: (seen: SeenLink, frame: Uint8Array) => void
  } = {},
): TestHost {
  const links: SeenLink[] = []
  const worked: string[] = []
  const host = createMeshHost({
    transportSeed: randomBytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    hashBinding,
    onAddressWorked: (address) => worked.push(address),
    accept(link) {
      const seen: SeenLink = { link, frames: [], writables: 0, reasons: [] }
      links.push(seen)
      return {
        received(frame) {
          seen.frames.push(frame)
          options.onFrame?.(seen, frame)
        },
        writable: () => seen.writables++,
        closed: (reason) => seen.reasons.push(reason),
      }
    },
    ...options,
  })
  return { ...host, links, worked, open: () => links.filter((seen) => seen.reasons.length === 0) }
}

export function hashBinding(parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256').update('havenmesh/libp2p/v1\0')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** Waits for something that becomes true, and fails loudly when it does not. */
export async function until(what: string, isTrue: () => boolean, withinMs = 10_000): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await pause(10)
  }
}

export function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, ms)
  return promise
}
