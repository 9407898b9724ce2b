/** A running server: every mesh that is registered with it, behind one address. */
import { networkInterfaces } from 'node:os'
import { isIP } from 'node:net'
import { isHavenError } from '../core/errors.ts'
import { ChannelGate } from '../bridge/inner-channel.ts'
import type { Claim, ServerKeys } from '../bridge/inner-channel.ts'
import type { MeshRuntime } from '../device/mesh-runtime.ts'
import { systemClock, systemRandom } from '../device/system.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { ChannelListener } from './channel-listener.ts'
import { metricsHttp, publicHttp } from './http.ts'
import type { Http, Tls } from './http.ts'
import type { QuotaLimits } from './quota.ts'
import { Registrar } from './registrar.ts'
import { ServedMesh } from './served-mesh.ts'
import type { ServerLog, ServerMembership } from './served-mesh.ts'
import { ServerDirectory } from './server-directory.ts'
import { serverMetrics } from './server-metrics.ts'
import type { Usage } from './usage.ts'

export interface ServerOptions {
  readonly dataDir: string
  readonly passphrase?: string | undefined
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** PEM; without them the server speaks plain HTTP, for a proxy that ends TLS or a network of its own. */
  readonly tls?: Tls | undefined
  /** Where devices reach it, if not where it listens. */
  readonly publicUrl?: string | undefined
  readonly quota: QuotaLimits
  /** Where its numbers can be read; default: nowhere. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined
  readonly log: ServerLog
}

/** Two servers on one directory wait for each other this long. */
const lockWaitMs = 5_000

export class HavenServer {
  readonly #options: ServerOptions
  readonly #directory: ServerDirectory
  readonly #meshes = new Map<string, ServedMesh>()
  readonly #http: Http
  #metrics: Http | undefined
  readonly #listener: ChannelListener
  /** Where devices reach it. */
  address = ''
  /** Where its numbers can be read, if anywhere. */
  metricsAddress: string | undefined
  #closing: Promise<void> | undefined

  /** @throws HavenError `LISTEN_FAILED`, and those of {@link ServerDirectory.open} and of the stores */
  static async start(options: ServerOptions): Promise<HavenServer> {
    const { dataDir, passphrase } = options
    const directory = await ServerDirectory.open(dataDir, {
      passphrase,
      random: systemRandom,
      lockWaitMs,
    })
    let server: HavenServer | undefined
    try {
      server = new HavenServer(options, directory)
      await server.#openMeshes()
      await server.#listen()
      return server
    } catch (error) {
      if (server === undefined) directory.close()
      else await server.close()
      throw error
    }
  }

  private constructor(options: ServerOptions, directory: ServerDirectory) {
    const { log, tls } = options
    this.#options = options
    this.#directory = directory
    this.#http = publicHttp({
      tls,
      failing: () => [...this.#meshes.values()].filter((mesh) => mesh.failure !== undefined).length,
    })
    const nowMs = (): number => systemClock.nowMs()
    const registrar = new Registrar({
      directory,
      nowMs,
      log,
      takeIn: (mesh, membership) => this.#takeIn(mesh, membership),
    })
    this.#listener = new ChannelListener({
      http: this.#http.server,
      // New at each start and nowhere written down: what was recorded of connections can't be opened by who takes the machine later.
      gate: new ChannelGate({
        keys: directory.secrets.keys,
        secret: systemRandom.bytes(32),
        random: systemRandom,
      }),
      nowMs,
      decide: (claim) => this.#verdictOn(claim),
      accept: (link, claim) => this.#accept(link, claim, registrar),
      log,
    })
  }

  /** What devices know it by. */
  get keys(): ServerKeys {
    const { device, agreement } = this.#directory.secrets.keys
    return { device, agreementKey: agreement.publicKey }
  }

  /** Ids. */
  get meshes(): string[] {
    return [...this.#meshes.keys()]
  }

  /** For who looks inside. */
  runtimeOf(mesh: string): MeshRuntime | undefined {
    return this.#meshes.get(mesh)?.runtime
  }

  usageOf(mesh: string): Usage | undefined {
    return this.#meshes.get(mesh)?.usage
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const mesh of this.#meshes.values()) await mesh.close()
      this.#listener.close()
      await this.#http.close()
      await this.#metrics?.close()
      this.#directory.close()
    })()
    return this.#closing
  }

  async #openMeshes(): Promise<void> {
    const { log } = this.#options
    for (const mesh of await this.#directory.meshes()) {
      try {
        this.#meshes.set(mesh, await ServedMesh.open(this.#meshOptions(mesh)))
      } catch (error) {
        // Of one mesh: the others are served all the same.
        if (!isHavenError(error)) throw error
        log({ level: 'error', code: error.code, message: error.message, mesh })
      }
    }
  }

  #meshOptions(mesh: string) {
    const { log, quota } = this.#options
    const { secrets } = this.#directory
    return { mesh, directory: this.#directory.meshDirectory(mesh), secrets, quota, log }
  }

  async #takeIn(mesh: string, membership: ServerMembership): Promise<void> {
    const known = this.#meshes.get(mesh)
    if (known !== undefined) await known.renew(membership)
    else this.#meshes.set(mesh, await ServedMesh.open(this.#meshOptions(mesh), membership))
  }

  #verdictOn({ mesh, device, purpose }: Claim): string {
    if (purpose === 'register') return ''
    return this.#meshes.get(mesh)?.verdictOn(device) ?? 'SERVER_UNKNOWN_MESH'
  }

  #accept(link: Link, claim: Claim, registrar: Registrar): LinkHandler {
    if (claim.purpose === 'register') return registrar.converse(link, claim)
    return this.#meshes.get(claim.mesh)!.accept(link, claim.device)
  }

  async #listen(): Promise<void> {
    const { host, port, tls, publicUrl } = this.#options
    const listening = await this.#http.listen(host, port)
    this.address =
      publicUrl ?? `${tls === undefined ? 'http' : 'https'}://${reachable(host)}:${listening}`
    await this.#directory.writeAddress(this.address)
    await this.#offerMetrics()
  }

  async #offerMetrics(): Promise<void> {
    const { metrics } = this.#options
    if (metrics === undefined) return
    this.#metrics = metricsHttp(() => serverMetrics(this.#meshes.values(), this.#listener))
    const port = await this.#metrics.listen(metrics.host, metrics.port)
    this.metricsAddress = `http://${reachable(metrics.host)}:${port}/metrics`
  }
}

/** How others name an address at which a server listens. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return isIP(host) === 6 ? `[${host}]` : host
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outside = addresses.find(({ internal, family }) => !internal && family === 'IPv4')
  return outside?.address ?? '127.0.0.1'
}
