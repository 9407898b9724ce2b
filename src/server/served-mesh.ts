/**
 * One mesh on this server: its store, and the same engine that runs on a courier's phone. The server holds what it can't read; only the control
 * facts, and the keys of `_mesh`, are open to it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ByteWriter } from '../core/codec.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { DeviceOptions } from '../device/api.ts'
import { answerQuestion } from '../device/exchange.ts'
import type { Answer } from '../device/exchange.ts'
import { MeshRuntime } from '../device/mesh-runtime.ts'
import { epochChange, loadMembership, membershipChange } from '../device/own-membership.ts'
import { systemClock, systemRandom, systemTimers } from '../device/system.ts'
import type { StoreChange } from '../feed/commit-store.ts'
import type { Certificate } from '../identity/certificate.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { Contacts } from './contacts.ts'
import { IdleWatch } from './idle-watch.ts'
import { Quota } from './quota.ts'
import type { QuotaLimits } from './quota.ts'
import type { SentBytes } from './sent-bytes.ts'
import type { ServerHome } from './server-home.ts'
import { serverRowNames } from './server-rows.ts'
import type { MeshUsage } from './usage.ts'

export type ServerLog = NonNullable<DeviceOptions['log']>

export interface ServedMeshOptions {
  readonly mesh: string
  readonly home: ServerHome
  readonly quota: QuotaLimits
  /** Told now and then how long nothing has arrived. */
  readonly idle?: ((idleMs: number) => void) | undefined
  readonly log: ServerLog
}

/** By which this server is a member. */
export interface ServerMembership {
  /** From the server's own certificate up to the root's. */
  readonly chain: readonly Certificate[]
  readonly keys: readonly { readonly collection: string; readonly key: Uint8Array }[]
}

/** A full disk is looked at again so often. */
const reopenEveryMs = 5_000
/** How late a device may hear, at most and a bit more, of what came in elsewhere. */
const lookEveryMs = 1_000

export class ServedMesh {
  readonly mesh: string
  readonly #options: ServedMeshOptions
  readonly #stopped = Promise.withResolvers<void>()
  #isStopping = false
  #store: MeshStore | undefined
  #usage: MeshUsage | undefined
  #sent: SentBytes | undefined
  #contacts: Contacts | undefined
  #idleWatch: IdleWatch | undefined
  readonly #quota: Quota
  #receivedBytes = 0
  #cancelTomorrow: () => void = () => {}
  #cancelLook: () => void = () => {}
  #runtime: MeshRuntime | undefined
  #recovering: Promise<void> | undefined
  #failure: HavenError | undefined

  private constructor(options: ServedMeshOptions) {
    this.mesh = options.mesh
    this.#options = options
    this.#quota = new Quota({
      limits: options.quota,
      storedBytes: () => this.#usage?.total.bytes ?? 0,
      sent: () => this.#sent,
      nowMs: () => systemClock.nowMs(),
    })
    this.#awaitTomorrow()
  }

  /**
   * @param membership - of a mesh that is new here, or whose chain is another one now
   * @throws HavenError of the store; `NOT_MEMBER` for a store that was left before it was a member's
   */
  static async open(
    options: ServedMeshOptions,
    membership?: ServerMembership,
  ): Promise<ServedMesh> {
    const served = new ServedMesh(options)
    await served.#open(membership)
    return served
  }

  /** Why nobody can be served just now, as an error code; undefined: all is well. */
  get failure(): HavenError | undefined {
    return this.#failure
  }

  /** Another process has removed it. */
  get isGone(): boolean {
    return this.#failure?.code === 'SERVER_UNKNOWN_MESH'
  }

  get runtime(): MeshRuntime | undefined {
    return this.#runtime
  }

  get sessionCount(): number {
    return [...(this.#runtime?.driver.engine.sessions() ?? [])].filter(
      ({ state }) => state === 'open',
    ).length
  }

  get quotaBytes(): number {
    return this.#options.quota.meshBytes
  }

  /** Since the start. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** For who reads it beside; undefined while it can't be. */
  async use(): Promise<{ store: MeshStore; usage: MeshUsage } | undefined> {
    await this.#contacts?.flush()
    const [store, usage] = [this.#store, this.#usage]
    return store === undefined || usage === undefined ? undefined : { store, usage }
  }

  /** What it has here. */
  get usage(): MeshUsage | undefined {
    return this.#usage
  }

  /** Why a device may not come in, as an error code; empty: it may. One that is not known yet may show who it is. */
  verdictOn(device: string): string {
    if (this.#runtime === undefined) return this.#failure?.code ?? 'STOPPED'
    return this.#lacksRight(device) ? 'NOT_ALLOWED' : ''
  }

  /** @param device - whose link it is */
  accept(link: Link, device: string): LinkHandler {
    if (this.#runtime === undefined) throw new HavenError('STOPPED', 'This mesh is not served now.')
    const handler = this.#runtime.driver.accept(link)
    return {
      received: (frame) => {
        handler.received(frame)
        this.#heard(device, frame.length)
      },
      writable: () => handler.writable(),
      closed: (reason) => handler.closed(reason),
    }
  }

  /** One question of a device, in a request of its own. */
  async answer(device: string, address: string, question: readonly Uint8Array[]): Promise<Answer> {
    const driver = this.#runtime?.driver
    if (driver === undefined) return { code: this.#failure?.code ?? 'STOPPED', frames: [] }
    const answer = await answerQuestion(driver, { device, address }, question)
    for (const frame of question) this.#heard(device, frame.length)
    // It may have shown its certificate only now.
    return this.#lacksRight(device) ? { code: 'NOT_ALLOWED', frames: [] } : answer
  }

  /** Written down of members alone: there is no end of strangers, and nothing of theirs is stored. */
  #heard(device: string, bytes: number): void {
    this.#receivedBytes += bytes
    if (this.#runtime?.control.isMember(device) !== true) return
    this.#quota.sent(device, bytes)
    this.#contacts?.heard(device)
  }

  /** The server is a member by another chain now: the mesh was registered again. */
  async renew(membership: ServerMembership): Promise<void> {
    await this.#runtime?.store.batch(membershipChanges(this.mesh, membership))
  }

  /** @param reason - of the end of its sessions, as an error code */
  async close(reason?: ErrorCode): Promise<void> {
    this.#isStopping = true
    this.#cancelTomorrow()
    const { driver } = this.#runtime ?? {}
    if (reason !== undefined && driver !== undefined)
      for (const { link } of driver.engine.sessions()) driver.linkOf(link)?.close(reason)
    this.#stopped.resolve()
    await this.#recovering
    await this.#close()
  }

  async #open(membership?: ServerMembership): Promise<void> {
    const { home, log, mesh } = this.#options
    if (membership !== undefined) await home.addMesh(mesh)
    const shelf = await home.openMesh(mesh, (damage) => this.#runtime?.damaged(damage))
    const { store, shared } = shelf
    this.#store = store
    this.#usage = shelf.usage
    this.#sent = shelf.sent
    this.#contacts = new Contacts(store, { clock: systemClock, timers: systemTimers })
    try {
      if (membership !== undefined) await registerIn(store, mesh, membership)
      const own = await loadMembership(store)
      if (own === undefined) {
        throw new HavenError('NOT_MEMBER', 'A mesh was not registered to its end. Do it again.')
      }
      this.#runtime = await MeshRuntime.open({
        store,
        shared,
        intake: (device) => this.#quota.intake(device),
        keys: home.secrets.keys,
        membership: own,
        // A server says what it holds, and writes next to nothing of its own: after a rollback its receipts tell.
        mark: undefined,
        clock: systemClock,
        random: systemRandom,
        timers: systemTimers,
        emit: (event) => {
          if (event.event === 'peer' && event.connected) this.#checkRight(event.device.id)
        },
        storeFailed: (error) => this.#recover(error),
        log: (level, code, message, details) => log({ level, code, message, ...details, mesh }),
      })
      this.#failure = store.failure
      this.#watchIdle(store)
      if (shared !== undefined) this.#lookAround()
    } catch (error) {
      await this.#close()
      throw error
    }
  }

  async #close(): Promise<void> {
    this.#cancelLook()
    this.#idleWatch?.close()
    const [runtime, store] = [this.#runtime, this.#store]
    this.#runtime = undefined
    this.#store = undefined
    await runtime?.close()
    await this.#sent?.close()
    await this.#contacts?.close()
    this.#sent = undefined
    this.#contacts = undefined
    await store?.close()
  }

  #watchIdle(store: MeshStore): void {
    const { idle } = this.#options
    if (idle === undefined) return
    this.#idleWatch = new IdleWatch({
      store,
      commits: () => this.#usage?.total.commits ?? 0,
      clock: systemClock,
      timers: systemTimers,
      looked: idle,
    })
  }

  /** What other processes have stored is passed on to who is connected here. */
  #lookAround(): void {
    this.#cancelLook()
    this.#cancelLook = systemTimers.after(lookEveryMs * (0.75 + Math.random() / 2), () => {
      void (async () => {
        if (this.sessionCount > 0) await this.refresh()
        if (this.#runtime !== undefined) this.#lookAround()
      })()
    })
  }

  /** All that had been stored before the call is known here when it resolves, by whichever process it was; or there is a `failure`. */
  async refresh(): Promise<void> {
    try {
      await this.#runtime?.others?.refresh()
    } catch (error) {
      this.#recover(storeError(error))
    }
  }

  /** Who had sent as much as it may in a day may go on. */
  #awaitTomorrow(): void {
    this.#cancelTomorrow = systemTimers.after(this.#quota.untilTomorrowMs, () => {
      this.#runtime?.driver.engine.intakeChanged(systemClock.nowMs())
      this.#runtime?.driver.pump()
      this.#awaitTomorrow()
    })
  }

  /** A device that was not known when it came has shown its certificate: does it say that it may bridge? */
  #checkRight(device: string): void {
    const driver = this.#runtime?.driver
    const session = driver?.engine.sessionWith(device)
    if (session !== undefined && this.#lacksRight(device))
      driver?.linkOf(session.link)?.close('NOT_ALLOWED')
  }

  #lacksRight(device: string): boolean {
    return this.#runtime?.control.certificateOf(device)?.rights.bridge === false
  }

  /** The disk was full, or failed: as soon as it takes writes again, everything begins anew on the store opened again. */
  #recover(failure: HavenError): void {
    this.#failure = failure
    if (this.#recovering !== undefined || this.#isStopping) return
    this.#recovering = (async () => {
      await this.#close().catch(() => {})
      // One that another process has removed does not come back by itself.
      while (!this.#isStopping && this.#failure !== undefined && !this.isGone) {
        await Promise.race([delay(reopenEveryMs, undefined, { ref: false }), this.#stopped.promise])
        if (!this.#isStopping) await this.#reopen()
      }
    })().finally(() => {
      this.#recovering = undefined
    })
  }

  async #reopen(): Promise<void> {
    try {
      await this.#open()
      if (this.#failure !== undefined) await this.#close()
    } catch (error) {
      this.#failure = storeError(error)
    }
  }
}

function storeError(error: unknown): HavenError {
  return isHavenError(error)
    ? error
    : new HavenError('STORE_FAILED', 'The store can not be used just now.', { cause: error })
}

/** Also again, after it was interrupted. */
async function registerIn(
  store: MeshStore,
  mesh: string,
  membership: ServerMembership,
): Promise<void> {
  const changes: StoreChange[] = membershipChanges(mesh, membership)
  if ((await store.meta(serverRowNames.since)) === undefined) {
    const value = new ByteWriter(8).u64(systemClock.nowMs()).finish()
    changes.push({ kind: 'meta', name: serverRowNames.since, value })
  }
  await store.batch(changes)
}

function membershipChanges(mesh: string, { chain, keys }: ServerMembership) {
  const own = { mesh, meshName: '', deviceName: '', chain, complete: true, code: '' }
  return [membershipChange(own), ...keys.map(({ collection, key }) => epochChange(collection, key))]
}
