/**
 * A mesh host in a process of its own, for tests in network namespaces. Writes one JSON line for each thing that happens;
 * each link gets one frame from each side.
 *
 *     node mesh-host-process.ts [typed address…]
 */
import { randomBytes } from 'node:crypto'
import { createMeshHost } from '../../src/mesh/mesh-host.ts'
import { hashBinding } from './support.ts'

const host = createMeshHost({
  transportSeed: randomBytes(32),
  listen: ['/ip4/0.0.0.0/tcp/4001'],
  peers: process.argv.slice(2),
  mdns: true,
  hashBinding,
  accept(link) {
    say({ event: 'link', id: link.id, side: link.side, address: link.remoteAddress })
    link.send(new Uint8Array(100))
    return {
      received: (frame) => say({ event: 'frame', id: link.id, bytes: frame.length }),
      writable: () => undefined,
      closed: (reason) => say({ event: 'closed', id: link.id, reason }),
    }
  },
})

await host.start()
say({ event: 'started', addresses: host.addresses() })
const multicastTimer = setInterval(() => {
  const multicast = host.multicast()
  if (multicast === undefined) return
  clearInterval(multicastTimer)
  say({ event: 'multicast', works: multicast })
}, 100)

process.once('SIGTERM', () => {
  clearInterval(multicastTimer)
  void host.stop().then(() => say({ event: 'stopped' }))
})

function say(event: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ ...event, atMs: Date.now() })}\n`)
}
