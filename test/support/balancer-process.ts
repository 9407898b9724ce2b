/**
 * A load balancer as simple as one can be: `node balancer-process.ts <port> <backend port>…`. Each connection goes to the next backend on this
 * machine whose `/readyz` says that it is ready; TCP in, TCP out. A line is printed when it listens.
 */
import { connect, createServer } from 'node:net'

const [port, ...backends] = process.argv.slice(2).map(Number) as [number, ...number[]]
const checkEveryMs = 300
const ready = new Set<number>()
let next = 0

async function check(backend: number): Promise<void> {
  try {
    const signal = AbortSignal.timeout(2_000)
    const { ok } = await fetch(`http://127.0.0.1:${backend}/readyz`, { signal })
    if (ok) ready.add(backend)
    else ready.delete(backend)
  } catch {
    ready.delete(backend)
  }
}

for (const backend of backends) {
  await check(backend)
  setInterval(() => void check(backend), checkEveryMs)
}

createServer((device) => {
  const healthy = backends.filter((backend) => ready.has(backend))
  const chosen = healthy[next++ % Math.max(1, healthy.length)]
  if (chosen === undefined) {
    device.destroy()
    return
  }
  const server = connect(chosen, '127.0.0.1')
  for (const [from, to] of [
    [device, server],
    [server, device],
  ] as const) {
    from.pipe(to)
    from.on('error', () => from.destroy())
    from.on('close', () => to.destroy())
  }
}).listen(port, () => console.log('listening'))
