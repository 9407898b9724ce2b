/** A device in a process of its own, as `haven up` would run it, but on 127.0.0.1 only and driven over the IPC channel. */
import { createReadStream } from 'node:fs'
import { encodeStateAsUpdate } from 'yjs'
import type { Device, DeviceOptions } from '../src/device/api.ts'
import { isHavenError } from '../src/core/errors.ts'
import { answer, monotonicMs } from './child.ts'

interface RecordPlace {
  collection: string
  id: string
}

/** A field's value as JSON text. */
export interface FieldValue extends RecordPlace {
  field: string
  json: string
}

interface WholeRecord extends RecordPlace {
  fields: [field: string, json: string][]
}

let current: Device | undefined
const recentLog: string[] = []

const commands = {
  async open(directory: string): Promise<void> {
    const url = new URL('../src/device/create-device.ts', import.meta.url)
    const { createDevice } = (await import(url.href)) as {
      createDevice: (options: DeviceOptions) => Promise<Device>
    }
    current = await createDevice({
      dataDir: `${directory}/data`,
      stateDir: `${directory}/state`,
      log: ({ level, code, message }) => {
        if (level === 'debug') return
        recentLog.push(`${level} ${code} ${message}`)
        if (recentLog.length > 20) recentLog.shift()
      },
    })
  },

  /** Resolves with the id of the mesh. */
  async found(): Promise<string> {
    return (await device().found({ meshName: 'Benchmark', deviceName: 'author' })).mesh.id
  },

  async invite(): Promise<string> {
    return (await device().invite({ role: 'clinician', bridge: true })).code
  },

  async join(code: string): Promise<void> {
    await device().join(code, { deviceName: 'neighbour' })
  },

  /** Resolves with the address that it listens on. */
  async up(peers: string[]): Promise<string> {
    const { addresses } = await device().up({
      listen: ['/ip4/127.0.0.1/tcp/0'],
      peers,
      mdns: false,
    })
    if (addresses[0] === undefined) throw new Error('The device listens nowhere.')
    return addresses[0]
  },

  /** Registers the mesh with a server, which this device uses from then on. */
  async addServer(code: string): Promise<void> {
    await device().addServer(code)
  },

  /** Up, with nobody to dial but the servers of the mesh. */
  async upAsBridge(): Promise<void> {
    await device().up({ listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, bridge: 'auto' })
  },

  /** Milliseconds until all lines of the file are durable. */
  async importFile({ path, records }: { path: string; records: number }): Promise<number> {
    const startMs = monotonicMs()
    const result = await device().import(
      [{ name: path, format: 'ndjson', chunks: createReadStream(path) }],
      // Edits come as files of the whole records, which do not say how new they are.
      { overwrite: true },
    )
    const ms = monotonicMs() - startMs
    if (result.records !== records || result.rejected.length > 0) {
      throw new Error(`Not all was imported: ${JSON.stringify(result)}`)
    }
    return ms
  },

  /** One call of `set` for each value, each awaited; resolves with the time at which the first began. */
  async set(values: FieldValue[]): Promise<number> {
    const startMs = monotonicMs()
    for (const { collection, id, field, json } of values) {
      await device().set(collection, id, [[field, json]])
    }
    return startMs
  },

  /** What goes first. */
  async setUrgent({ collection, id, field, json }: FieldValue): Promise<void> {
    await device().set(collection, id, [[field, json]], { urgent: true })
  },

  /** A record of several fields, in one commit. */
  async write({ collection, id, fields }: WholeRecord): Promise<void> {
    await device().set(collection, id, fields)
  },

  async count(collection: string): Promise<number> {
    return (await device().list(collection)).length
  },

  /** Resolves with the time at which `get` answered with the last of these values. */
  async untilHeld(values: FieldValue[]): Promise<number> {
    let held = 0
    return until(`${values.length} values are held`, async () => {
      for (; held < values.length; held++) {
        const { collection, id, field, json } = values[held]!
        if ((await valueOf(collection, id, field)) !== json) return false
      }
      return true
    })
  },

  /** Connected, and each side knows that the other lacks nothing and holds it durably. */
  async untilInSync(): Promise<void> {
    await until('in sync', async () => {
      const { peers } = await device().status()
      return peers.some(
        ({ connected, state, behind, ahead }) =>
          connected && state === 'COMPLETE' && behind === 0 && ahead === 0,
      )
    })
  },

  async untilDisconnected(): Promise<void> {
    await until('disconnected', async () => {
      const { peers } = await device().status()
      return peers.every(({ connected }) => !connected)
    })
  },

  /** What it holds, in few letters. */
  digest: async (): Promise<string> => (await device().status()).clock.digest,

  /** Resolves with the time when it holds durably what has this digest. */
  async untilDigest(digest: string): Promise<number> {
    return until('up to date', async () => (await device().status()).clock.digest === digest)
  },

  /** Of the record's document, as Yjs V1 encodes it. */
  async documentBytes({ collection, id }: RecordPlace): Promise<number> {
    const doc = await device().doc(collection, id)
    return encodeStateAsUpdate(doc).length
  },

  /** Opens them one after the other and keeps none; resolves with the resident memory afterwards, in bytes. */
  async openDocuments({ collection, ids }: { collection: string; ids: string[] }): Promise<number> {
    for (const id of ids) await device().doc(collection, id)
    return process.memoryUsage.rss()
  },

  /** One call, and how many of them wait for a person. */
  async listConflicts(collection: string): Promise<{ ms: number; open: number }> {
    const startMs = monotonicMs()
    const conflicts = await device().conflicts({ collection })
    const ms = monotonicMs() - startMs
    return { ms, open: conflicts.filter(({ state }) => state === 'open').length }
  },

  /** Milliseconds of `get`, for one record after the other. */
  async timeGets({ collection, ids }: { collection: string; ids: string[] }): Promise<number[]> {
    const times: number[] = []
    for (const id of ids) {
      const startMs = monotonicMs()
      await device().get(collection, id)
      times.push(monotonicMs() - startMs)
    }
    return times
  },

  /** Resident memory in bytes. */
  memory: async (): Promise<number> => process.memoryUsage.rss(),

  /** As a restart does it, but for the process. */
  async reopen(directory: string): Promise<void> {
    await commands.close()
    await commands.open(directory)
  },

  async close(): Promise<void> {
    await device().close()
    current = undefined
  },
}

export type DeviceCommands = typeof commands

answer(commands)

function device(): Device {
  if (current === undefined) throw new Error('no device is open')
  return current
}

async function valueOf(collection: string, id: string, field: string): Promise<string | undefined> {
  try {
    return (await device().get(collection, id)).fields.get(field)
  } catch (error) {
    if (isHavenError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

/** Checks after each event of the device, and every few milliseconds in case there is none. */
async function until(what: string, check: () => Promise<boolean>): Promise<number> {
  const deadlineMs = monotonicMs() + deadlineAfterMs
  let wake = (): void => {}
  const unsubscribe = device().subscribe(() => wake())
  try {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      if (await check()) return monotonicMs()
      if (monotonicMs() > deadlineMs) {
        const { peers } = await device().status()
        const seen = JSON.stringify({ peers, recentLog }, undefined, 1)
        throw new Error(`Not ${what} within ${deadlineAfterMs / 1000} s: ${seen}`)
      }
      const timer = setTimeout(resolve, pollMs)
      await promise
      clearTimeout(timer)
    }
  } finally {
    unsubscribe()
  }
}

const pollMs = 5
const deadlineAfterMs = 3 * 60_000
