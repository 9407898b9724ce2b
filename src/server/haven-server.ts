/** A running server: every mesh that is registered with it, behind one address. */
import { networkInterfaces } from 'node:os'
import { isIP } from 'node:net'
import { isHavenError } from '../core/errors.ts'
import { ChannelGate } from '../bridge/inner-channel.ts'
import type { Claim, ServerKeys } from '../bridge/inner-channel.ts'
import type { MeshRuntime } from '../device/mesh-runtime.ts'
import { Mutex } from '../device/mutex.ts'
import { systemClock, systemRandom } from '../device/system.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { ChannelListener } from './channel-listener.ts'
import { offerControl } from './control-socket.ts'
import type { ControlSocket } from './control-socket.ts'
import { ExchangeListener } from './exchange-listener.ts'
import { FloodGuard } from './flood-guard.ts'
import { metricsHttp, publicHttp } from './http.ts'
import type { Http, Tls } from './http.ts'
import type { QuotaLimits } from './quota.ts'
import { Registrar } from './registrar.ts'
import { ServedMesh } from './served-mesh.ts'
import type { ServerLog, ServerMembership } from './served-mesh.ts'
import { openServerHome } from './open-server-home.ts'
import type { ServerPlace } from './open-server-home.ts'
import { MeshControl } from './server-control.ts'
import type { UsedMesh } from './mesh-summary.ts'
import type { ServerHome } from './server-home.ts'
import { serverMetrics } from './server-metrics.ts'
import type { Counted } from './server-metrics.ts'
import type { MeshUsage } from './usage.ts'

export interface ServerOptions {
  readonly place: ServerPlace
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** PEM; without them the server speaks plain HTTP, for a proxy that ends TLS or a network of its own. */
  readonly tls?: Tls | undefined
  /** Where devices reach it, if not where it listens. */
  readonly publicUrl?: string | undefined
  readonly quota: QuotaLimits
  /** How long a mesh is kept of which nothing arrives; default: for ever. */
  readonly retainMs?: number | undefined
  /** Where its numbers can be read; default: nowhere. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined
  readonly log: ServerLog
}

export class HavenServer {
  readonly #options: ServerOptions
  readonly #home: ServerHome
  readonly #meshes = new Map<string, ServedMesh>()
  readonly #http: Http
  readonly #opening = new Mutex()
  #metrics: Http | undefined
  #control: ControlSocket | undefined
  readonly #listener: ChannelListener
  readonly #exchanges: ExchangeListener
  /** Where devices reach it. */
  address = ''
  /** Where its numbers can be read, if anywhere. */
  metricsAddress: string | undefined
  #closing: Promise<void> | undefined

  /** @throws HavenError `LISTEN_FAILED`, and those of {@link openServerHome} and of the stores */
  static async start(options: ServerOptions): Promise<HavenServer> {
    const home = await openServerHome(options.place)
    let server: HavenServer | undefined
    try {
      server = new HavenServer(options, home)
      await server.#openMeshes()
      await server.#offerControl()
      await server.#listen()
      return server
    } catch (error) {
      if (server === undefined) await home.close()
      else await server.close()
      throw error
    }
  }

  private constructor(options: ServerOptions, home: ServerHome) {
    const { log, tls } = options
    this.#options = options
    this.#home = home
    const nowMs = (): number => systemClock.nowMs()
    const gate = new ChannelGate({
      keys: home.secrets.keys,
      secrets: () => home.channelSecrets(),
      random: systemRandom,
    })
    const decide = (claim: Claim): Promise<string> => this.#verdictOn(claim)
    const guard = new FloodGuard(nowMs)
    this.#exchanges = new ExchangeListener({
      gate,
      guard,
      nowMs,
      decide,
      log,
      random: systemRandom,
      book: home.requests,
      answer: ({ mesh, device }, address, question) =>
        this.#meshes.get(mesh)!.answer(device, address, question),
    })
    this.#http = publicHttp({ tls, failing: () => this.#failing(), devices: this.#exchanges })
    const registrar = new Registrar({
      home,
      nowMs,
      log,
      takeIn: (mesh, membership) => this.#takeIn(mesh, membership),
    })
    this.#listener = new ChannelListener({
      http: this.#http.server,
      gate,
      guard,
      nowMs,
      decide,
      accept: (link, claim) => this.#accept(link, claim, registrar),
      log,
    })
  }

  /** What devices know it by. */
  get keys(): ServerKeys {
    const { device, agreement } = this.#home.secrets.keys
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

  usageOf(mesh: string): MeshUsage | undefined {
    return this.#meshes.get(mesh)?.usage
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#control?.close()
      for (const mesh of this.#meshes.values()) await mesh.close()
      this.#listener.close()
      await this.#http.close()
      await this.#metrics?.close()
      await this.#home.close()
    })()
    return this.#closing
  }

  /** To commands on this machine. Where processes share a home, commands go there themselves. */
  async #offerControl(): Promise<void> {
    const { place, log, quota } = this.#options
    if (place.dataDir === undefined) return
    const control = new MeshControl({
      storeKey: this.#home.secrets.storeKey,
      quotaBytes: quota.meshBytes,
      list: () => this.#home.meshes(),
      use: (mesh) => this.#use(mesh),
      remove: (mesh) => this.#remove(mesh),
    })
    try {
      this.#control = await offerControl(place.dataDir, control, (cause) =>
        log({ level: 'error', code: 'INTERNAL', message: 'A command failed.', cause }),
      )
    } catch (cause) {
      const message = 'No command can reach this server: its directory takes no socket.'
      log({ level: 'warn', code: 'LISTEN_FAILED', message, cause })
    }
  }

  async #use(mesh: string): Promise<UsedMesh> {
    const served = this.#meshes.get(mesh)
    const failure = served?.failure
    const used = await served?.use()
    if (used !== undefined) return { ...used, failure, release: () => Promise.resolve() }
    if (failure !== undefined) throw failure
    // It could not be opened at the start: now it can, or it says why not.
    const { store, usage } = await this.#home.openMesh(mesh, () => {})
    return { store, usage, failure, release: () => store.close() }
  }

  #remove(mesh: string): Promise<void> {
    return this.#opening.run(async () => {
      const served = this.#meshes.get(mesh)
      this.#meshes.delete(mesh)
      await served?.close('SERVER_UNKNOWN_MESH')
      await this.#home.removeMesh(mesh)
    })
  }

  /** Nothing has arrived of a mesh for so long. */
  #isIdle(mesh: string, idleMs: number): void {
    const { retainMs, log } = this.#options
    if (retainMs === undefined || idleMs < retainMs) return
    const message = 'Nothing has arrived of a mesh for as long as it is to be kept: it is removed.'
    log({ level: 'warn', code: 'SERVER_UNKNOWN_MESH', message, mesh })
    this.#remove(mesh).catch((cause: unknown) => {
      const failed = 'A mesh that is not to be kept longer could not be removed.'
      log({ level: 'error', code: 'STORE_FAILED', message: failed, mesh, cause })
    })
  }

  /** Meshes, or all that there is, that can't be served just now. */
  async #failing(): Promise<number> {
    if (!(await this.#home.isReachable())) return Math.max(1, this.#meshes.size)
    return [...this.#meshes.values()].filter(
      ({ failure, isGone }) => failure !== undefined && !isGone,
    ).length
  }

  async #openMeshes(): Promise<void> {
    const { log } = this.#options
    for (const mesh of await this.#home.meshes()) {
      try {
        await this.#openMesh(mesh)
      } catch (error) {
        // Of one mesh: the others are served all the same.
        if (!isHavenError(error)) throw error
        log({ level: 'error', code: error.code, message: error.message, mesh })
      }
    }
  }

  #openMesh(mesh: string, membership?: ServerMembership): Promise<ServedMesh> {
    const { log, quota } = this.#options
    return this.#opening.run(async () => {
      const known = this.#meshes.get(mesh)
      if (known !== undefined) return known
      const idle = (idleMs: number): void => this.#isIdle(mesh, idleMs)
      const opened = await ServedMesh.open({ mesh, home: this.#home, quota, idle, log }, membership)
      this.#meshes.set(mesh, opened)
      return opened
    })
  }

  async #takeIn(mesh: string, membership: ServerMembership): Promise<void> {
    const known = this.#meshes.get(mesh)
    if (known !== undefined) await known.renew(membership)
    else await this.#openMesh(mesh, membership)
  }

  async #verdictOn({ mesh, device, purpose }: Claim): Promise<string> {
    if (purpose === 'register') return ''
    try {
      const served = await this.#served(mesh)
      // What another process has acknowledged to this device must not be asked for again.
      await served?.refresh()
      return served?.verdictOn(device) ?? 'SERVER_UNKNOWN_MESH'
    } catch (error) {
      if (isHavenError(error)) return error.code
      throw error
    }
  }

  /** A mesh may have been registered, or removed, with another process. */
  async #served(mesh: string): Promise<ServedMesh | undefined> {
    const known = this.#meshes.get(mesh)
    if (!this.#home.isShared) return known
    const isThere = (await this.#home.meshes()).includes(mesh)
    if (isThere && known?.isGone !== true) return known ?? this.#openMesh(mesh)
    this.#meshes.delete(mesh)
    await known?.close()
    // Removed, and registered again.
    return isThere ? this.#openMesh(mesh) : undefined
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
    // Devices are told of one address: the one that a person gave, or that of the process that came first.
    if (publicUrl !== undefined || !this.#home.isShared || !(await this.#hasAddress()))
      await this.#home.writeAddress(this.address)
    await this.#offerMetrics()
  }

  async #hasAddress(): Promise<boolean> {
    try {
      await this.#home.address()
      return true
    } catch (error) {
      if (isHavenError(error, 'NOT_FOUND')) return false
      throw error
    }
  }

  #counted(): Counted {
    const { connections } = this.#listener
    const refusals = new Map(this.#listener.refusals)
    for (const [code, count] of this.#exchanges.refusals)
      refusals.set(code, (refusals.get(code) ?? 0) + count)
    return { connections, refusals, answered: this.#exchanges.answered }
  }

  async #offerMetrics(): Promise<void> {
    const { metrics } = this.#options
    if (metrics === undefined) return
    this.#metrics = metricsHttp(() => serverMetrics(this.#meshes.values(), this.#counted()))
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
