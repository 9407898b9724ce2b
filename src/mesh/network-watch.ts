/** Notices that a cable was plugged in or a Wi-Fi came up. Node.js has no event for that. */
import { networkInterfaces } from 'node:os'

const everyMs = 2_000

/** Calls `changed` after interfaces or their addresses have changed; returns what stops it. */
export function watchNetwork(changed: () => void): () => void {
  let before = fingerprint()
  const timer = setInterval(() => {
    const now = fingerprint()
    if (now === before) return
    before = now
    changed()
  }, everyMs)
  return () => clearInterval(timer)
}

function fingerprint(): string {
  const interfaces = Object.entries(networkInterfaces())
  const lines = interfaces.flatMap(([name, list]) =>
    (list ?? []).map(({ address }) => `${name} ${address}`),
  )
  return lines.toSorted((a, b) => (a < b ? -1 : 1)).join('\n')
}
