/** This device as a bridge: which servers of the mesh it may use, and an uplink to each while it is up. */
import type { Clock, Random } from '../core/environment.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { BudgetLeft, DataBudget } from '../bridge/data-budget.ts'
import { Uplink } from '../bridge/uplink.ts'
import type { Session } from '../sync/session.ts'
import { lostAfter } from '../sync/lost-claims.ts'
import { watchNetwork } from '../mesh/network-watch.ts'
import type { BridgeStatus, DeviceInfo, Notice, ServerStatus } from './api.ts'
import { BridgeSettings } from './bridge-settings.ts'
import { askerOver } from './exchange.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { registerWithServer } from './server-registration.ts'
import { rfc3339 } from './system.ts'
import { UplinkCosts } from './uplink-costs.ts'
import { isUrgent, lastClockOf, waiting } from './waiting.ts'

export interface BridgingOptions {
  readonly runtime: MeshRuntime
  readonly clock: Clock
  readonly random: Random
  readonly log: (event: string, details: Record<string, unknown>) => void
  /** How long a link is kept that carries nothing, where only the reserve is left; default: a minute. */
  readonly restAfterMs?: number
}

const full = {
  code: 'QUOTA_EXCEEDED',
  message:
    'The server has no room for more of this mesh, or of this device today. What it lacks stays on the devices; ask who runs it.',
}

const budgetUsed = ({ untilMs }: BudgetLeft): Notice => ({
  code: 'BUDGET_USED',
  message: `The budget for uplinks is used up: servers are left alone until ${rfc3339(untilMs)}. haven bridge budget changes it.`,
})

const budgetUrgent = ({ untilMs }: BudgetLeft): Notice => ({
  code: 'BUDGET_URGENT',
  message: `Of the budget for uplinks only the reserve is left: until ${rfc3339(untilMs)}, only what is urgent goes to servers and comes from them.`,
})

/** Several processes that are one server may not all have heard of everything at once. */
const doubtMs = 60_000

const dataLost = (server: DeviceInfo, lost: NonNullable<ServerStatus['lost']>): Notice => ({
  code: 'SERVER_LOST_DATA',
  message: `The server ${server.name ?? server.id.slice(0, 8)} says since ${lost.since} that it lacks ${lost.commits === 1 ? 'a commit' : `${lost.commits} commits`} that it had held. Devices that have them send them again by themselves; tell who runs the server.`,
})

const countEveryMs = 1_000
/** On the reserve, a link that carries nothing for so long is hung up: its pings alone would take 4 MB in a day. */
const quietMs = 60_000

export class Bridging {
  readonly #options: BridgingOptions
  readonly #settings: BridgeSettings
  readonly #costs: UplinkCosts
  readonly #uplinks = new Map<string, Uplink>()
  #isUp = false
  /** While it is up, every server is allowed. */
  #auto = false
  #stopWatching: () => void = () => {}
  #counting: NodeJS.Timeout | undefined
  readonly #lastCommits = new Map<string, { session: Session; commits: number; sinceMs: number }>()
  /** Of uplinks that are not wanted any more. */
  #ended: Promise<unknown> = Promise.resolve()

  private constructor(options: BridgingOptions, settings: BridgeSettings, costs: UplinkCosts) {
    this.#options = options
    this.#settings = settings
    this.#costs = costs
    const { runtime } = options
    runtime.factListeners.add(this.#renew)
    runtime.flow = {
      intake: (device) => (this.#isCounted(device) ? costs.roomBytes : limits.windowMaxBytes),
      outflow: (device) => (this.#isCounted(device) ? costs.openBytes : Infinity),
    }
  }

  static async open(options: BridgingOptions): Promise<Bridging> {
    const { store } = options.runtime
    const costs = await UplinkCosts.open(store, options.clock)
    return new Bridging(options, await BridgeSettings.load(store), costs)
  }

  /** Dials the servers that are allowed, until `close`. */
  up({ auto }: { readonly auto: boolean }): void {
    this.#isUp = true
    this.#auto = auto
    this.#stopWatching = watchNetwork(() => {
      for (const uplink of this.#uplinks.values()) uplink.networkChanged()
    })
    this.#counting = setInterval(() => void this.#count(), countEveryMs)
    this.#counting.unref()
    this.#renew()
  }

  async close(): Promise<void> {
    this.#options.runtime.factListeners.delete(this.#renew)
    this.#stopWatching()
    clearInterval(this.#counting)
    this.#isUp = false
    this.#renew()
    await this.#ended
    await this.#count()
    await this.#keep(() => this.#costs.save())
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

  /**
   * Of all uplinks of this device together; undefined: no bound. Durable when it resolves.
   *
   * @throws HavenError `USAGE` for one that leaves nothing for what is not urgent
   */
  async setBudget(budget: DataBudget | undefined): Promise<BridgeStatus> {
    if (budget !== undefined && !(budget.bytes > 0 && budget.urgentBytes < budget.bytes))
      throw new HavenError(
        'USAGE',
        'What is kept for urgent commits is less than the whole budget.',
      )
    await this.#count()
    await this.#costs.setBudget(budget)
    this.#flowChanged()
    await this.#ended
    return this.status()
  }

  status(): BridgeStatus {
    return {
      budget: this.#budgetStatus(),
      carried: { day: this.#costs.usedBytes('day'), month: this.#costs.usedBytes('month') },
      mayBridge: this.#mayBridge,
      paused: this.#settings.paused,
      running: this.#isUp,
      servers: this.#servers(),
    }
  }

  /** With what waits, and how long it will take. */
  async report(): Promise<BridgeStatus> {
    const { runtime } = this.#options
    const status = this.status()
    const servers: ServerStatus[] = []
    for (const server of status.servers) {
      const { id } = server.device
      const clock = lastClockOf(runtime.driver.engine, id)
      const { up, down } = this.#costs.rates.of(id)
      servers.push({
        ...server,
        waiting:
          clock === undefined
            ? null
            : {
                up: await waiting(runtime, clock, 'up', up),
                down: await waiting(runtime, clock, 'down', down),
              },
      })
    }
    return { ...status, servers }
  }

  /** What somebody at this device should decide. */
  notices(): Notice[] {
    const servers = this.#mayBridge ? this.#servers() : []
    const notices: Notice[] = []
    const left = this.#isUp ? this.#costs.left : undefined
    if (left !== undefined && left.state !== 'open')
      notices.push(left.state === 'used' ? budgetUsed(left) : budgetUrgent(left))
    if (servers.some(({ allowed }) => !allowed)) {
      notices.push({
        code: 'SERVER_NOT_ALLOWED',
        message:
          'The mesh has a server that this device may use and does not use yet: haven bridge allow says yes, once.',
      })
    }
    if (servers.some(({ problem }) => problem?.code === full.code)) notices.push(full)
    for (const { device, lost } of this.#servers())
      if (lost !== null) notices.push(dataLost(device, lost))
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

  /** Empty: nobody knows yet who is there. */
  #isCounted(device: string): boolean {
    return device === '' ? this.#uplinks.size > 0 : this.#uplinks.has(device)
  }

  #budgetStatus(): BridgeStatus['budget'] {
    const { budget, left } = this.#costs
    if (budget === undefined || left === undefined) return null
    const { state, usedBytes, leftBytes, untilMs } = left
    return { ...budget, state, usedBytes, leftBytes, until: rfc3339(untilMs) }
  }

  async #count(): Promise<void> {
    const { runtime } = this.#options
    const { rates } = this.#costs
    for (const [server, uplink] of this.#uplinks) {
      const session = runtime.driver.engine.sessionWith(server)
      if (session !== undefined) {
        rates.measure(server, session)
        if (this.#costs.state === 'urgent' && this.#isQuiet(server, session))
          uplink.rest(this.#costs.restMs)
      } else if (this.#costs.budget !== undefined && this.#lacksUrgent(server)) uplink.callSoon()
    }
    await this.#keep(async () => {
      if (await this.#costs.count()) this.#flowChanged()
    })
  }

  /** No commit has come or gone for a while, and nothing urgent waits. */
  #isQuiet(server: string, session: Session): boolean {
    const commits = session.commits.in + session.commits.out
    const before = this.#lastCommits.get(server)
    const nowMs = performance.now()
    if (before?.session !== session || before.commits !== commits) {
      this.#lastCommits.set(server, { session, commits, sinceMs: nowMs })
      return false
    }
    const restAfterMs = this.#options.restAfterMs ?? quietMs
    return nowMs - before.sinceMs >= restAfterMs && !this.#lacksUrgent(server)
  }

  /** A store that does not take it is not made better by an end here. */
  async #keep(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      if (!isHavenError(error)) throw error
    }
  }

  #lacksUrgent(server: string): boolean {
    const { control, replica, driver } = this.#options.runtime
    const clock = lastClockOf(driver.engine, server)
    if (clock === undefined) return false
    return [...replica.descriptors()].some(
      (descriptor) =>
        isUrgent(descriptor, control) &&
        replica.aheadOf(descriptor.feed, clock.get(descriptor.feed) ?? []) > 0,
    )
  }

  #flowChanged(): void {
    const { driver } = this.#options.runtime
    this.#renew()
    if (this.#costs.state === 'open') for (const uplink of this.#uplinks.values()) uplink.callSoon()
    driver.engine.intakeChanged(this.#options.clock.nowMs())
    driver.pump()
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
      carrier: uplink?.carrier ?? null,
      since: uplink === undefined ? null : rfc3339(uplink.sinceMs),
      nextTry: uplink?.nextMs === undefined ? null : rfc3339(uplink.nextMs),
      problem: (this.#isFull(server) ? full : uplink?.problem) ?? null,
      lost: this.#lostBy(server),
      behind,
      ahead,
      lastSeen,
      waiting: null,
    }
  }

  /** What it had acknowledged and does not hold now, as far as is known. */
  #lostBy(server: string): ServerStatus['lost'] {
    const { engine } = this.#options.runtime.driver
    const theirs = engine.sessionWith(server)?.theirs
    const remembered = engine.book.entries.get(server)?.lost
    const lost =
      theirs === undefined || remembered === undefined
        ? remembered
        : lostAfter(remembered, undefined, theirs, undefined)
    if (lost?.sinceMs === undefined) return null
    const agoMs = this.#options.clock.nowMs() - lost.sinceMs
    if (agoMs >= 0 && agoMs < doubtMs) return null
    return { commits: lost.commits, since: rfc3339(lost.sinceMs) }
  }

  /** Facts, rights or what a person said are other than before: uplinks come and go. */
  readonly #renew = (): void => {
    const { runtime, clock, random, log } = this.#options
    const { control, driver } = runtime
    const isBridge =
      this.#isUp && this.#mayBridge && !this.#settings.paused && this.#costs.state !== 'used'
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
        paceMs: this.#costs.paceMs,
        meter: this.#costs.meter,
        accept: driver.accept,
        startAsking: (options) => askerOver(driver, options),
        disowned: () => {
          driver.engine.holdsNothing(device, clock.nowMs())
          driver.pump()
        },
        log,
      })
      this.#uplinks.set(device, uplink)
    }
  }
}
