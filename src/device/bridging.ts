/** This device as a bridge: which servers of the mesh it may use, and an uplink to each while it is up. */
import type { Clock, Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { Uplink } from '../bridge/uplink.ts'
import { watchNetwork } from '../mesh/network-watch.ts'
import type { BridgeStatus, Notice, ServerStatus } from './api.ts'
import { BridgeSettings } from './bridge-settings.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { registerWithServer } from './server-registration.ts'
import { rfc3339 } from './system.ts'

export interface BridgingOptions {
  readonly runtime: MeshRuntime
  readonly clock: Clock
  readonly random: Random
  readonly log: (event: string, details: Record<string, unknown>) => void
}

const full = {
  code: 'QUOTA_EXCEEDED',
  message:
    'The server has no room for more of this mesh, or of this device today. What it lacks stays on the devices; ask who runs it.',
}

export class Bridging {
  readonly #options: BridgingOptions
  readonly #settings: BridgeSettings
  readonly #uplinks = new Map<string, Uplink>()
  #isUp = false
  /** While it is up, every server is allowed. */
  #auto = false
  #stopWatching: () => void = () => {}
  /** Of uplinks that are not wanted any more. */
  #ended: Promise<unknown> = Promise.resolve()

  private constructor(options: BridgingOptions, settings: BridgeSettings) {
    this.#options = options
    this.#settings = settings
    options.runtime.factListeners.add(this.#renew)
  }

  static async open(options: BridgingOptions): Promise<Bridging> {
    return new Bridging(options, await BridgeSettings.load(options.runtime.store))
  }

  /** Dials the servers that are allowed, until `close`. */
  up({ auto }: { readonly auto: boolean }): void {
    this.#isUp = true
    this.#auto = auto
    this.#stopWatching = watchNetwork(() => {
      for (const uplink of this.#uplinks.values()) uplink.networkChanged()
    })
    this.#renew()
  }

  async close(): Promise<void> {
    this.#options.runtime.factListeners.delete(this.#renew)
    this.#stopWatching()
    this.#isUp = false
    this.#renew()
    await this.#ended
  }

  /** Lets a server into the mesh, which this device may then use. */
  async add(code: string): Promise<ServerStatus> {
    const { runtime } = this.#options
    const server = await registerWithServer(runtime, code, this.#options)
    await this.#settings.allow([server])
    this.#renew()
    await this.#ended
    return this.#statusOf(server)
  }

  /**
   * @param server - its name, or the beginning of its id; undefined: every one that there is
   * @throws HavenError `NOT_FOUND`, `NOT_ALLOWED` where this device has no right to bridge
   */
  async allow(server?: string): Promise<BridgeStatus> {
    if (!this.#mayBridge) {
      throw new HavenError(
        'NOT_ALLOWED',
        'This device has no right to bridge. An admin gives it with haven invite --bridge, for a new device.',
      )
    }
    const found = this.#servers().filter(
      ({ device }) =>
        server === undefined || device.name === server || device.id.startsWith(server),
    )
    if (found.length === 0) {
      throw new HavenError(
        'NOT_FOUND',
        'This device knows of no such server. haven bridge status lists those that it has heard of.',
      )
    }
    await this.#settings.allow(found.map(({ device }) => device.id))
    this.#renew()
    await this.#ended
    return this.status()
  }

  async pause(paused: boolean): Promise<BridgeStatus> {
    await this.#settings.pause(paused)
    this.#renew()
    await this.#ended
    return this.status()
  }

  status(): BridgeStatus {
    return {
      mayBridge: this.#mayBridge,
      paused: this.#settings.paused,
      running: this.#isUp,
      servers: this.#servers(),
    }
  }

  /** What somebody at this device should decide. */
  notices(): Notice[] {
    const servers = this.#mayBridge ? this.#servers() : []
    const notices: Notice[] = []
    if (servers.some(({ allowed }) => !allowed)) {
      notices.push({
        code: 'SERVER_NOT_ALLOWED',
        message:
          'The mesh has a server that this device may use and does not use yet: haven bridge allow says yes, once.',
      })
    }
    if (servers.some(({ problem }) => problem?.code === full.code)) notices.push(full)
    const portal = servers.find(({ problem }) => problem?.code === 'CAPTIVE_PORTAL')?.problem
    if (portal != null) notices.push(portal)
    return notices
  }

  get #mayBridge(): boolean {
    const { control } = this.#options.runtime
    return control.certificateOf(control.device)?.rights.bridge === true
  }

  #servers(): ServerStatus[] {
    const { servers } = this.#options.runtime.control.membership
    return [...servers.keys()].map((server) => this.#statusOf(server))
  }

  #isAllowed(server: string): boolean {
    return this.#auto || this.#settings.isAllowed(server)
  }

  /** It has told us that it takes no more. */
  #isFull(server: string): boolean {
    const session = this.#options.runtime.driver.engine.sessionWith(server)
    return session?.failure === full.code
  }

  #statusOf(server: string): ServerStatus {
    const { peers, control } = this.#options.runtime
    const { device, behind, ahead, lastSeen } = peers.status(server)
    const uplink = this.#uplinks.get(server)?.status
    return {
      device,
      addresses: [...(control.membership.servers.get(server) ?? [])],
      allowed: this.#isAllowed(server),
      state: uplink?.state ?? 'idle',
      since: uplink === undefined ? null : rfc3339(uplink.sinceMs),
      nextTry: uplink?.nextMs === undefined ? null : rfc3339(uplink.nextMs),
      problem: (this.#isFull(server) ? full : uplink?.problem) ?? null,
      behind,
      ahead,
      lastSeen,
    }
  }

  /** Facts, rights or what a person said are other than before: uplinks come and go. */
  readonly #renew = (): void => {
    const { runtime, random, log } = this.#options
    const { control, driver } = runtime
    const isBridge = this.#isUp && this.#mayBridge && !this.#settings.paused
    const wanted = new Set(
      isBridge
        ? [...control.membership.servers.keys()].filter((server) => this.#isAllowed(server))
        : [],
    )
    for (const [server, uplink] of this.#uplinks) {
      if (wanted.has(server)) continue
      this.#uplinks.delete(server)
      this.#ended = Promise.all([this.#ended, uplink.stop()])
    }
    for (const device of wanted) {
      const certificate = control.certificateOf(device)
      if (this.#uplinks.has(device) || certificate === undefined) continue
      const uplink = new Uplink({
        server: { device, agreementKey: certificate.agreementKey },
        addresses: () => control.membership.servers.get(device) ?? [],
        keys: control.keys,
        mesh: control.meshId,
        random,
        accept: driver.accept,
        log,
      })
      this.#uplinks.set(device, uplink)
    }
  }
}
