/**
 * A device that writes as long as it is let: `node writer-process.ts <data directory> <name> <port> <ports of the others>…`.
 * With `stop` on standard input it stops writing and goes on syncing.
 *
 * It says, one JSON object a line, what it holds of its own when it starts, each write that was acknowledged, and its notices.
 */
import { createDevice } from '../../src/device/create-device.ts'
import { pause } from '../support/until.ts'

const [, , dataDir, name, port, ...others] = process.argv as [
  string,
  string,
  string,
  string,
  string,
  ...string[],
]
const say = (said: object): void => {
  process.stdout.write(`${JSON.stringify(said)}\n`)
}

const device = await createDevice({ dataDir })
const own = await numbersHeld()
const shared = await ownShared()
say({ start: { own, shared, notices: (await device.status()).notices.map(({ code }) => code) } })

const common: [string, string] = ['gender', `"${name}"`]
const stop = new AbortController()
process.stdin.on('data', () => {
  stop.abort()
})
// It writes while it is coming up, too.
const up = device.up({
  mdns: false,
  listen: [`/ip4/127.0.0.1/tcp/${port}`],
  peers: others.map((other) => `/ip4/127.0.0.1/tcp/${other}`),
})
let next = Math.max(0, ...own) + 1
let connected = false
while (!stop.signal.aborted) {
  await device.set('patients', `Patient/${name}-${next}`, [['gender', '"female"']])
  say({ written: next })
  // All of them write this one, each its own field and, from time to time, one that is common.
  const isUrgent = next % 10 === 0
  const fields: [string, string][] = [[`from-${name}`, String(next)], ...(isUrgent ? [common] : [])]
  await device.set('patients', 'Patient/shared', fields, { urgent: isUrgent })
  say({ shared: next })
  next++
  const { peers } = await device.status()
  if (!connected && peers.some((peer) => peer.connected)) say({ connected: true })
  connected = peers.some((peer) => peer.connected)
}
await up
for (;;) {
  const { notices, clock, collections } = await device.status()
  say({
    quiet: {
      notices: notices.map(({ code }) => code),
      digest: clock.digest,
      contentHash: collections.patients?.contentHash,
    },
  })
  await pause(200)
}

async function ownShared(): Promise<number> {
  const record = await device.get('patients', 'Patient/shared').catch(() => undefined)
  return Number(record?.fields.get(`from-${name}`) ?? 0)
}

/** Of the records that this device has written. */
async function numbersHeld(): Promise<number[]> {
  const ids = await device.list('patients')
  return ids.flatMap(({ id }) => {
    const [, author, number] = /^Patient\/(\w+)-(\d+)$/.exec(id) ?? []
    return author === name ? [Number(number)] : []
  })
}
