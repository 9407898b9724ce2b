/**
 * A member of a mesh, at work: everything that has to know of each other is put together here, and what the sync engine has to say is
 * acted upon.
 */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock, Random, Timers } from '../core/environment.ts'
import { HavenError, isErrorCode, isHavenError } from '../core/errors.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { FeedChain } from '../feed/chain.ts'
import { decodeDescriptor } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { factTypes } from '../identity/control-fact.ts'
import type { Fact } from '../identity/control-fact.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { meshCollectionId } from '../identity/names.ts'
import { sealFactText } from '../identity/sealed-fact.ts'
import { emptyRecord } from '../records/record-state.ts'
import type { RecordState } from '../records/record-state.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { Damage } from '../store/damage.ts'
import type { Mark } from '../store/mark.ts'
import type { Intake, Notification, Outflow } from '../sync/engine-port.ts'
import type { Replica } from '../sync/replica.ts'
import type { DeviceEvent, Notice } from './api.ts'
import { ControlPlane } from './control-plane.ts'
import { FeedRepair } from './feed-repair.ts'
import { InvitationBook } from './invitation-book.ts'
import { Inviter } from './inviter.ts'
import { Integrator } from './integrator.ts'
import { Mutex } from './mutex.ts'
import { OtherProcesses } from './other-processes.ts'
import { OwnFeeds } from './own-feeds.ts'
import type { OwnMembership } from './own-membership.ts'
import { PeerBook } from './peer-book.ts'
import { RecordWriter } from './record-writer.ts'
import { Schemas } from './schemas.ts'
import { SyncDriver } from './sync-driver.ts'
import { rfc3339 } from './system.ts'

const retiringNotice: Notice = {
  code: 'RETIRING',
  message:
    'This device is to be wiped: it takes no writes, and others do not count on it. haven safe-to-wipe --cancel takes that back.',
}

/** `Omit` over each kind of event. */
type Timeless<E> = E extends unknown ? Omit<E, 'time'> : never

export interface RuntimeOptions {
  readonly store: MeshStore
  /** The same store, where other processes work on it as this very member. */
  readonly shared?: SharedStore | undefined
  readonly keys: DeviceKeys
  readonly membership: OwnMembership
  readonly mark: Mark | undefined
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly emit: (event: DeviceEvent) => void
  /** Of who carries for others: how much each may send. */
  readonly intake?: Intake | undefined
  /** The store takes nothing any more: it has to be opened again. */
  readonly storeFailed: (error: HavenError) => void
  readonly log: (
    level: 'debug' | 'info' | 'warn' | 'error',
    code: string,
    message: string,
    details?: Record<string, unknown>,
  ) => void
}

/** Time for the facts to come by themselves, before this device passes on a certificate that a peer has shown. */
const passOnMs = 2_000

export class MeshRuntime {
  readonly control: ControlPlane
  readonly integrator: Integrator
  readonly writer: RecordWriter
  readonly driver: SyncDriver
  readonly schemas: Schemas
  /** Held by whoever announces a schema. */
  readonly schemaLock = new Mutex()
  readonly peers: PeerBook
  readonly inviter: Inviter
  /** How much may go through links: for whoever pays for them to say. */
  flow: { readonly intake: Intake; readonly outflow: Outflow } = {
    intake: () => limits.windowMaxBytes,
    outflow: () => Infinity,
  }
  readonly #options: RuntimeOptions
  /** Where there may be some. */
  readonly others: OtherProcesses | undefined
  readonly #ownFeeds: OwnFeeds
  readonly #repair: FeedRepair
  readonly #lock = new Mutex()
  readonly #invitations: InvitationBook
  readonly #notices = new Map<string, Notice>()
  /** Control work, in order: facts are evaluated one batch after the other. */
  #controlWork: Promise<void> = Promise.resolve()
  readonly #cancels = new Set<() => void>()
  readonly #collectionsByName = new Map<string, string>()

  private constructor(options: RuntimeOptions) {
    this.#options = options
    const { store, keys, membership, clock, random, timers } = options
    this.#invitations = new InvitationBook(store)
    this.others = options.shared && this.#othersOn(options.shared)
    // The engine owns the replica, and asks the control plane, which needs the replica.
    const authority: { control?: ControlPlane } = {}
    this.driver = new SyncDriver({
      authority: lateAuthority(() => authority.control!),
      store,
      clock,
      random,
      timers,
      notified: (notification) => {
        this.#notified(notification)
      },
      failed: (error) => {
        this.#failed(error)
      },
      intake: options.intake ?? ((device) => this.flow.intake(device)),
      outflow: (device) => this.flow.outflow(device),
      others: this.others,
    })
    const { replica } = this.driver.engine
    this.control = new ControlPlane({
      mesh: membership.mesh,
      keys,
      ownChain: membership.chain,
      incarnation: () => this.#ownFeeds.incarnation,
      store,
      replica,
      invitations: this.#invitations,
      clock,
      random,
    })
    authority.control = this.control
    this.schemas = new Schemas(this.control, store)
    this.#ownFeeds = new OwnFeeds({
      store,
      replica,
      keys,
      mesh: this.control.mesh,
      mark: options.mark,
      isShared: this.others !== undefined,
      random,
      notice: (code, message) => {
        this.notice(code, message)
      },
      begun: () => {
        for (const listener of this.incarnationListeners) listener()
      },
    })
    const changed = (collection: string, ids: readonly string[]): void => {
      const name = this.collectionName(collection)
      if (name !== null) this.emit({ event: 'change', collection: name, ids: [...ids] })
    }
    this.integrator = new Integrator({
      store,
      replica,
      control: this.control,
      clock,
      readingOf: (collection) => this.schemas.readingOf(collection),
      lock: this.#lock,
      changed,
      rebuilding: (collection) => {
        for (const listener of this.rebuildListeners) listener(collection)
      },
      failed: (error) => {
        this.#failed(error)
      },
      marked: (feed, seq, reason) => {
        options.log(
          'warn',
          'UPDATE_NOT_ACCEPTED',
          `An update of commit ${seq} of feed ${feed} is kept, but not shown: ${reason}.`,
        )
      },
    })
    this.writer = new RecordWriter({
      store,
      replica,
      control: this.control,
      integrator: this.integrator,
      ownFeeds: this.#ownFeeds,
      lock: this.#lock,
      clock,
      random,
      wrote: (feeds) => {
        this.driver.engine.wrote(feeds, clock.nowMs())
        this.driver.pump()
      },
      changed,
      failed: (error) => {
        this.#failed(error)
      },
    })
    this.#repair = new FeedRepair({
      store,
      replica,
      integrator: this.integrator,
      lock: this.#lock,
      repaired: (feeds) => {
        this.driver.engine.wrote(feeds, clock.nowMs())
        this.driver.pump()
        this.integrator.wake(feeds)
      },
      notice: (code, message) => {
        this.notice(code, message)
      },
      failed: (error) => {
        this.#failed(error)
      },
    })
    this.peers = new PeerBook({
      engine: this.driver.engine,
      control: this.control,
      clock,
      timers,
      emit: (event) => {
        this.emit(event)
      },
    })
    this.inviter = new Inviter({
      control: this.control,
      invitations: this.#invitations,
      driver: this.driver,
      clock,
      random,
      writeFacts: (facts) => this.writeFacts(facts),
      emit: (event) => {
        this.emit(event)
      },
      log: options.log,
    })
  }

  static async open(options: RuntimeOptions): Promise<MeshRuntime> {
    const runtime = new MeshRuntime(options)
    await runtime.#restore()
    return runtime
  }

  get store(): MeshStore {
    return this.#options.store
  }

  get clock(): Clock {
    return this.#options.clock
  }

  get replica(): Replica {
    return this.driver.engine.replica
  }

  get notices(): Notice[] {
    const notices = [...this.#notices.values()]
    const waiting = this.integrator.waitingForKey.size
    if (waiting > 0) {
      notices.push({
        code: 'WAITING_FOR_KEY',
        message: `${waiting} feeds can be read as soon as a device that has their key is near.`,
      })
    }
    const notUnderstood = [...this.control.membership.collections.keys()].filter((id) =>
      this.schemas.heardOf(id).some(({ counts, understood }) => counts && !understood),
    ).length
    if (notUnderstood > 0) {
      notices.push({
        code: 'SCHEMA_NOT_UNDERSTOOD',
        message: `${notUnderstood} collections have a schema that this device does not understand (haven schema list): update it, or let it meet another device.`,
      })
    }
    const forked = [...this.replica.chains()].filter((chain) => chain.forked).length
    if (this.control.isRetiring) notices.push(retiringNotice)
    if (forked > 0) {
      notices.push({
        code: 'FEED_FORKED',
        message: `${forked} feeds have two histories, since a device was restored from a backup. Both are kept and shown.`,
      })
    }
    return notices
  }

  async #restore(): Promise<void> {
    const { store, clock } = this.#options
    const descriptors = (await store.descriptors()).map(({ bytes }) => decodeDescriptor(bytes))
    const chains = (await store.chains()).map(({ feed, value }) => FeedChain.decode(feed, value))
    this.replica.restore(descriptors, chains)
    await this.#invitations.restore(clock.nowMs())
    await this.control.restore()
    await this.schemas.restore()
    await this.integrator.restore()
    await this.#repair.start()
    await this.#ownFeeds.restore(this.integrator)
    for (const { name, value } of await store.metas('clock/')) {
      try {
        this.driver.engine.restoreAnnouncement(name.slice('clock/'.length), value)
      } catch (error) {
        // It will be heard again.
        if (!isHavenError(error)) throw error
      }
    }
    this.others?.start(this.driver.engine)
    await this.#keysMoved()
    this.integrator.wake([])
    await this.introduce()
  }

  #othersOn(store: SharedStore): OtherProcesses {
    return new OtherProcesses({
      store,
      clock: this.#options.clock,
      meshCollection: meshCollectionId(this.#options.membership.mesh),
      pump: () => {
        this.driver.pump()
      },
      controlStored: (commits) =>
        this.#control(async () => {
          // Who stored them may have had keys that this process has not.
          await this.control.restoreKeys()
          this.control.stored(commits)
          await this.#keysMoved()
        }),
      failed: (error) => {
        this.#failed(error)
      },
    })
  }

  /** The store came across a damaged row. */
  damaged(damage: Damage): void {
    this.#repair.met(damage)
  }

  /** Says this device's name, once it can be sealed. */
  introduce(): Promise<void> {
    return this.#control(() => this.#introduction())
  }

  /** As part of control work: {@link writeFacts} would wait for the work that it is called from. */
  async #introduction(): Promise<void> {
    const { membership } = this.#options
    if (
      this.control.isRetiring ||
      membership.deviceName === '' ||
      this.control.membership.member(this.control.device) === undefined
    )
      return
    const named = this.control.membership.member(this.control.device)?.name
    const labels = this.control.epochToWrite(this.control.labelsCollection)
    if (named !== undefined || labels === undefined) return
    const name = this.sealLabel(membership.deviceName, factTypes.deviceName)
    if (name === undefined) return
    const fact: Fact = { kind: 'deviceName', device: this.control.device, name }
    this.control.stored(await this.writer.writeFacts([fact]))
    await this.#keysMoved()
  }

  /** A name or a schema, sealed to readers; undefined when this device has no key for that. */
  sealLabel(text: string, type: number): Uint8Array | undefined {
    const labels = this.control.epochToWrite(this.control.labelsCollection)
    if (labels === undefined) return undefined
    return sealFactText(
      text,
      {
        mesh: this.control.meshId,
        type,
        ...(type === factTypes.schema && { maxBytes: limits.schemaBytes }),
      },
      { epoch: labels.epoch, epochKey: labels.key },
      this.#options.random,
    )
  }

  /** Facts of this device: durable, evaluated and offered when it resolves. */
  async writeFacts(facts: readonly Fact[], after?: HybridTime): Promise<void> {
    const commits = await this.writer.writeFacts(facts, after)
    await this.#control(async () => {
      this.control.stored(commits)
      await this.#keysMoved()
    })
  }

  /** From now on this device writes nothing: durable and offered when it resolves. */
  async retire(): Promise<void> {
    if (this.control.isRetiring) return
    await this.writeFacts([{ kind: 'retiring', cancelled: false }])
    this.emit({ event: 'notice', ...retiringNotice })
  }

  /** Takes back that this device is to be wiped. Returns whether it was. */
  async goOn(): Promise<boolean> {
    const retirement = this.control.membership.retirementOf(this.control.device)
    if (retirement === undefined) return false
    await this.writeFacts([{ kind: 'retiring', cancelled: true }], retirement.time)
    // What this device has to say and did not, meanwhile.
    await this.introduce()
    return true
  }

  /** What it looks like when all facts that are held have been evaluated. */
  async atRest<T>(look: () => T): Promise<T> {
    for (;;) {
      const work = this.#controlWork
      await work
      if (work === this.#controlWork) return look()
    }
  }

  /** Resolves when this device has heard who it is in the mesh and which collections there are, or when it is to wait no longer. */
  async untilIntroduced(signal: AbortSignal): Promise<void> {
    const known = (): boolean =>
      this.control.membership.member(this.control.device) !== undefined &&
      this.control.membership.collections.size > 0
    while (!known() && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#factWaiters.add(resolve)
        signal.addEventListener('abort', () => {
          resolve()
        })
      })
    }
    // What this device has said about itself should get out as well.
    await this.#controlWork
  }

  /** Called when this device goes on in new feeds. */
  readonly incarnationListeners = new Set<() => void>()

  /** Called when members, rights or keys may be others than before. */
  readonly factListeners = new Set<() => void>()

  readonly #factWaiters = new Set<() => void>()

  /** Called with the collection when its records are about to be built again. */
  readonly rebuildListeners = new Set<(collection: string) => void>()

  /**
   * A record as it is now, and the feed that this device's routine writes of its collection go into. While `use` runs, nothing is written or
   * taken in.
   */
  async atRecord<T>(
    collectionId: string,
    id: string,
    use: (state: RecordState, feed: FeedDescriptor) => T,
  ): Promise<T> {
    await this.integrator.idle()
    return this.#lock.run(async () => {
      const collection = await this.integrator.collection(collectionId)
      const { descriptor } = await this.#ownFeeds.feed(collectionId, 'routine')
      const state = await collection.settled((await collection.state(id)) ?? emptyRecord(id))
      return use(state, descriptor)
    })
  }

  // ---- collections ----

  collectionName(id: string): string | null {
    const fact = this.control.membership.collections.get(id)
    return fact === undefined ? null : this.control.openText(fact.name, factTypes.collection)
  }

  /** Of the collections that this device can read. */
  collectionNames(): string[] {
    const ids = [...this.control.membership.collections.keys()]
    return ids.flatMap((id) => this.collectionName(id) ?? [])
  }

  /** @throws HavenError `UNKNOWN_COLLECTION`, `NOT_ALLOWED` where this device only carries */
  collectionId(name: string): string {
    const known = this.#collectionsByName.get(name)
    if (known !== undefined) return known
    for (const id of this.control.membership.collections.keys()) {
      const found = this.collectionName(id)
      if (found !== null) this.#collectionsByName.set(found, id)
    }
    const id = this.#collectionsByName.get(name)
    if (id !== undefined) return id
    if (this.control.ownRole === 'courier' || this.control.ownRole === 'server') {
      throw new HavenError(
        'NOT_ALLOWED',
        'This device carries records for others and can not read them. Use a device of a clinician.',
      )
    }
    if (this.control.membership.collections.size === 0) {
      throw new HavenError(
        'NOT_READABLE_YET',
        'This device has not met another device of its mesh since it joined. Run haven up near one.',
      )
    }
    throw new HavenError(
      'UNKNOWN_COLLECTION',
      `There is no collection of that name. There are: ${[...this.#collectionsByName.keys()].join(', ')}.`,
    )
  }

  // ---- notifications of the sync engine ----

  #notified(notification: Notification): void {
    switch (notification.kind) {
      case 'opened':
        this.#options.log(
          notification.isBrief ? 'debug' : 'info',
          'SESSION_OPENED',
          'A session with a device of the mesh began.',
          { device: notification.device },
        )
        this.peers.opened(notification.device)
        this.#askForKeys()
        this.#later(passOnMs, () => this.#passOnCertificates())
        return
      case 'closed':
        if (notification.device !== undefined) {
          this.#options.log(
            notification.isBrief ? 'debug' : 'info',
            'SESSION_CLOSED',
            `A session ended (${notification.reason}).`,
            { device: notification.device },
          )
          this.peers.closed(notification.device, notification.reason)
        }
        return
      case 'refused':
        this.#refused(notification.link, notification.code, notification.by)
        return
      case 'progress':
        this.peers.progressed(notification.device)
        return
      case 'stored':
        this.#stored(notification.commits)
        return
      case 'forked': {
        this.notice(
          'FEED_FORKED',
          'A device was restored from a backup: one of its feeds has two histories. Both are kept and shown.',
        )
        this.integrator.forked(notification.feed)
        return
      }
      case 'key':
        void this.#control(async () => {
          const change = this.control.addSealedKey(
            notification.collection,
            notification.epoch,
            notification.sealed,
          )
          if (change === undefined) return
          await this.#options.store.batch([change])
          this.control.retry()
          await this.#keysMoved()
          await this.#introduction()
        })
        return
      case 'forgotten':
        this.#forgot(notification.incarnation)
        return
      case 'revoked':
        if (!this.#isOwnRevocation(notification.bytes)) return
        this.notice(
          'REVOKED',
          'This device was removed from the mesh. Its records can be read here no longer than it is needed to hand it back.',
        )
        return
      case 'join-request':
      case 'join-confirm':
        this.inviter.notified(notification)
        return
    }
  }

  /** Where there is no mark, nothing else tells that the store is an older one: what it claimed as this incarnation must not count any more. */
  #forgot(incarnation: string): void {
    const { mark, clock } = this.#options
    if (mark !== undefined || incarnation !== this.#ownFeeds.incarnation.id) return
    void (async () => {
      try {
        await this.#lock.run(() =>
          this.#ownFeeds.leave('others have heard it say what it does not remember'),
        )
        this.driver.engine.incarnationChanged(clock.nowMs())
        this.driver.pump()
      } catch (error) {
        this.#failed(error)
      }
    })()
  }

  #isOwnRevocation(bytes: Uint8Array): boolean {
    try {
      return this.control.revokesThisDevice(bytes)
    } catch (error) {
      if (isHavenError(error)) return false
      throw error
    }
  }

  #refused(link: string, code: string, by: 'us' | 'them'): void {
    const address = this.driver.linkOf(link)?.remoteAddress ?? ''
    const message =
      by === 'us'
        ? `A device was refused (${code}).`
        : `The device ${address === '' ? 'that was dialled' : `at ${address}`} did not accept this one (${code}): it belongs to another mesh, or has not heard of this device.`
    this.#options.log('warn', code, message, { address })
    this.emit({ event: 'refused', code: isErrorCode(code) ? code : 'PEER_CLOSED', address })
  }

  #stored(commits: readonly StoredCommit[]): void {
    const control: StoredCommit[] = []
    const feeds = new Set<string>()
    for (const commit of commits) {
      const descriptor = this.replica.descriptor(commit.feed)
      if (descriptor === undefined) continue
      if (bytesToHex(descriptor.collection) === this.control.meshCollection) control.push(commit)
      else feeds.add(commit.feed)
      if (bytesToHex(descriptor.device) === this.control.device) {
        void this.#lock
          .run(() => this.#ownFeeds.metOwnCommits(commit.feed))
          .catch((error: unknown) => {
            this.#failed(error)
          })
      }
    }
    if (control.length > 0) {
      void this.#control(async () => {
        this.control.stored(control)
        await this.#keysMoved()
        await this.#introduction()
      })
    }
    if (feeds.size > 0) this.integrator.wake(feeds)
  }

  #control(work: () => Promise<void>): Promise<void> {
    this.#controlWork = this.#controlWork.then(work).catch((error: unknown) => {
      this.#failed(error)
    })
    return this.#controlWork
  }

  /** Facts or keys are new: whatever depends on them is looked at again. */
  async #keysMoved(): Promise<void> {
    const changes = this.control.takeGrants()
    if (changes.length > 0) {
      await this.#options.store.batch(changes)
      this.control.retry()
    }
    await this.#schemasMoved()
    this.#collectionsByName.clear()
    for (const waiter of this.#factWaiters) waiter()
    this.#factWaiters.clear()
    for (const listener of this.factListeners) listener()
    for (const id of this.control.membership.collections.keys())
      await this.integrator.collection(id)
    this.integrator.verdictsChanged()
    this.integrator.wake([])
    this.driver.engine.authorityChanged(this.#options.clock.nowMs())
    this.#askForKeys()
    this.driver.pump()
    await this.#stateWhatWasHeld()
  }

  /** From here on records are read and written by this version on this device; undefined: by the newest. */
  async pinSchema(collection: string, version: number | undefined): Promise<void> {
    await this.schemas.pin(collection, version)
    await this.#control(() => this.#schemasMoved())
  }

  async #schemasMoved(): Promise<void> {
    // What is derived by one reading must not be taken for another's.
    const changed = await this.#lock.run(async () => this.schemas.refresh())
    for (const id of changed) {
      const collection = this.collectionName(id)
      const { version } = this.schemas.readingOf(id)
      if (collection !== null) this.emit({ event: 'schema', collection, version })
    }
  }

  #askForKeys(): void {
    const needed = this.control.neededEpochs()
    if (needed.length === 0) return
    this.driver.engine.needKeys(needed, this.#options.clock.nowMs())
    this.driver.pump()
  }

  /** When this device first learns of a revocation, it says what it held of the removed device's feeds. */
  async #stateWhatWasHeld(): Promise<void> {
    const { membership } = this.control
    if (this.control.isRetiring) return
    const removed = new Set(
      [...this.replica.descriptors()]
        .map(({ device }) => bytesToHex(device))
        .filter((device) => membership.isRevoked(device)),
    )
    const facts: Fact[] = []
    for (const device of removed) {
      const revocation = membership.revocationOf(device)
      if (
        revocation === undefined ||
        device === this.control.device ||
        membership.hasStated(revocation.id, this.control.device)
      )
        continue
      const feeds = [...this.replica.descriptors()]
        .filter((descriptor) => bytesToHex(descriptor.device) === device)
        .flatMap(({ feed }) => this.replica.chain(feed).entries())
      facts.push({ kind: 'held', revocation: revocation.id, feeds })
    }
    if (facts.length > 0) this.control.stored(await this.writer.writeFacts(facts))
  }

  async #passOnCertificates(): Promise<void> {
    if (this.control.isRetiring) return
    const facts = this.control
      .unknownShown()
      .map((certificate): Fact => ({ kind: 'certificate', certificate }))
    if (facts.length > 0) await this.writeFacts(facts)
  }

  #later(delayMs: number, run: () => Promise<void>): void {
    const cancel = this.#options.timers.after(delayMs, () => {
      this.#cancels.delete(cancel)
      run().catch((error: unknown) => {
        this.#failed(error)
      })
    })
    this.#cancels.add(cancel)
  }

  notice(code: string, message: string): void {
    if (!this.#notices.has(code)) this.emit({ event: 'notice', code, message })
    this.#notices.set(code, { code, message })
  }

  emit(event: Timeless<DeviceEvent>): void {
    this.#options.emit({ ...event, time: rfc3339(this.#options.clock.nowMs()) })
  }

  #failed(error: unknown): void {
    if (this.#options.store.failure !== undefined)
      this.#options.storeFailed(this.#options.store.failure)
    if (isHavenError(error)) this.notice(error.code, error.message)
    else this.notice('INTERNAL', 'Something went wrong in this device. Its log says more.')
    this.#options.log(
      'error',
      isHavenError(error) ? error.code : 'INTERNAL',
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    )
  }

  /** Ends sessions and timers, and waits for what is on its way to the disk. */
  async close(): Promise<void> {
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
    this.peers.close()
    await this.#repair.stop()
    await this.driver.stop()
    await this.others?.close()
    await this.#controlWork
    await this.integrator.idle()
    await this.#lock.run(() => Promise.resolve())
  }
}

/** The control plane is made after the engine that asks it. */
function lateAuthority(control: () => ControlPlane): ControlPlane {
  return new Proxy({} as ControlPlane, {
    get(_, name) {
      const target = control()
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function'
        ? (value as (...args: unknown[]) => unknown).bind(target)
        : value
    },
  })
}
