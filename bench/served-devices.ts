import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Child } from './child.ts'
import type { DeviceCommands } from './device-process.ts'
import type { ServerCommands } from './server-process.ts'

/** Where devices reach the server: something that stands between. */
interface Way {
  readonly port: number
  leadTo(address: string): void
}

/**
 * A server and devices of one mesh, in processes of their own. The first device is its admin; the others know nobody's address but
 * the server's. Devices that are not open are switched off.
 */
export class ServedDevices implements AsyncDisposable {
  readonly #directory: string
  readonly #way: Way
  readonly server = new Child<ServerCommands>('server-process.ts')
  readonly #devices = new Map<string, Child<DeviceCommands>>()
  /** Its id. */
  mesh = ''

  private constructor(directory: string, way: Way) {
    this.#directory = directory
    this.#way = way
  }

  /** Registers the mesh and lets the others join; none is open then. */
  static async enrol(
    directory: string,
    { way, admin, others }: { way: Way; admin: string; others: readonly string[] },
  ): Promise<ServedDevices> {
    const served = new ServedDevices(directory, way)
    try {
      await served.#startServer()
      const first = await served.open(admin)
      served.mesh = await first.ask('found')
      const address = await first.ask('up', [])
      await first.ask('addServer', await served.server.ask('invite'))
      for (const name of others) {
        const other = await served.open(name)
        await other.ask('join', await first.ask('invite'))
        // Also what is known of the server.
        await other.ask('up', [address])
        await other.ask('untilInSync')
        await served.close(name)
      }
      await served.close(admin)
    } catch (error) {
      await served[Symbol.asyncDispose]()
      throw error
    }
    return served
  }

  async open(name: string): Promise<Child<DeviceCommands>> {
    const child = new Child<DeviceCommands>('device-process.ts')
    this.#devices.set(name, child)
    await child.ask('open', join(this.#directory, name))
    return child
  }

  async close(name: string): Promise<void> {
    const child = this.#devices.get(name)
    this.#devices.delete(name)
    await child?.ask('close')
    await child?.[Symbol.asyncDispose]()
  }

  /** What the server says that it holds. */
  async serverDigest(): Promise<string> {
    const digest = await this.server.ask('digest', this.mesh)
    if (digest === undefined) throw new Error('The server does not carry the mesh.')
    return digest
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#devices.values()) await child[Symbol.asyncDispose]()
    await this.server[Symbol.asyncDispose]()
  }

  async #startServer(): Promise<void> {
    const port = await freePort()
    const publicUrl = `http://127.0.0.1:${this.#way.port}`
    const place = { dataDir: join(this.#directory, 'server') }
    await this.server.ask('start', { place, port, publicUrl })
    this.#way.leadTo(`http://127.0.0.1:${port}`)
  }
}

/** That nobody listens at just now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
