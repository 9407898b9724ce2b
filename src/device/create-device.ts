/** The library's front door: a device over a data directory. */
import type * as Y from 'yjs'

import { HavenError, isHavenError } from '../core/errors.ts'
import { utf8ToBytes } from '../core/bytes.ts'
import { decodeControlPayload } from '../identity/control-fact.ts'
import { DeviceKeys } from '../identity/device-key.ts'
import type { MeshHost } from '../mesh/mesh-host.ts'
import { defaultDirectories, prepareDataDirectory } from '../store/data-dir.ts'
import type { Damage } from '../store/damage.ts'
import { createKeystore, openKeystore } from '../store/keystore.ts'
import { openLevelStore } from '../store/level-store.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import { openMark } from '../store/mark.ts'
import type { Mark } from '../store/mark.ts'
import type {
  AppliedSchema,
  BridgeStatus,
  BudgetSetting,
  CollectionSchemas,
  Conflict,
  ConflictsOptions,
  Coverage,
  CoverageOptions,
  Device,
  DeviceEvent,
  DeviceInfo,
  DeviceOptions,
  DeviceSite,
  DeviceStatus,
  FoundOptions,
  HistoryOptions,
  ImportOptions,
  ImportProgress,
  ImportResult,
  ImportSource,
  Invitation,
  InviteOptions,
  JoinOptions,
  JsonText,
  LinkOptions,
  LinkResult,
  MembershipResult,
  MeshInfo,
  OpenRecord,
  RecordChange,
  RecordHistory,
  RecordStatus,
  RecordVersionToken,
  RecordView,
  RecoverOptions,
  Resolution,
  ResolveOptions,
  SchemaText,
  ServerStatus,
  UpOptions,
  WipeAnswer,
  WipeOptions,
  WriteOptions,
  WriteResult,
} from './api.ts'
import { Bridging } from './bridging.ts'
import { ConflictOperations } from './conflict-operations.ts'
import { coverage } from './coverage.ts'
import { offerDocuments } from './documents-of.ts'
import { LinkOperations } from './link-operations.ts'
import { hashBinding } from './carrier-binding.ts'
import { Enrolment } from './enrolment.ts'
import { LiveDocs } from './live-docs.ts'
import { MeshRuntime } from './mesh-runtime.ts'
import { OperationsRecord } from './open-record.ts'
import { loadMembership } from './own-membership.ts'
import type { OwnMembership } from './own-membership.ts'
import { recordHistory } from './record-history.ts'
import { RecordOperations } from './record-operations.ts'
import { recordStatus } from './record-status.ts'
import { safeToWipe } from './safe-to-wipe.ts'
import { SchemaOperations } from './schema-operations.ts'
import { checkedSite, saySite, siteOf } from './site-operations.ts'
import { homedir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { rfc3339, systemClock, systemRandom, systemTimers } from './system.ts'

/**
 * Opens the device that lives in a data directory, and creates its keys when the directory is new.
 *
 * @throws HavenError `STORE_BUSY` when another process has it open, `STORE_NOT_WRITABLE`, `STORE_NEWER_VERSION`, `KEYSTORE_UNREADABLE`,
 *   `DISK_FULL`, `STORE_FAILED`
 */
export async function createDevice(options: DeviceOptions): Promise<Device> {
  const directory = await prepareDataDirectory(options.dataDir)
  const log = options.log ?? (() => {})
  const keystore =
    (await openKeystore(directory.keysFile, { passphrase: options.passphrase })) ??
    (await createKeystore(
      directory.keysFile,
      { store: systemRandom.bytes(32), device: DeviceKeys.generate(systemRandom).encode() },
      { passphrase: options.passphrase },
    ))
  const storeKey = keystore.get('store')
  const deviceKey = keystore.get('device')
  if (storeKey === undefined || deviceKey === undefined) {
    throw new HavenError(
      'KEYSTORE_UNREADABLE',
      'The key file of this device is incomplete. Restore it from a backup, or enrol the device anew.',
    )
  }
  const damage: { met: (damage: Damage) => void } = { met: () => {} }
  const openStore = (lockWaitMs: number | undefined): Promise<MeshStore> =>
    openLevelStore({
      location: directory.path,
      storeKey,
      lockWaitMs,
      onDamage: (met) => {
        log({
          level: 'error',
          code: 'STORE_DAMAGED',
          message: 'A damaged row was found in the store.',
          row: met.row,
        })
        damage.met(met)
      },
    })
  const store = await openStore(options.lockWaitMs)
  try {
    const keys = DeviceKeys.decode(deviceKey)
    const state =
      options.stateDir ?? defaultDirectories({ env: process.env, home: homedir() }).state
    const openOwnMark = (): Promise<Mark> =>
      openMark({ stateDirectory: state, deviceId: keys.device, dataDirectory: directory.path })
    const device = new LocalDevice({
      options,
      dataDir: directory.path,
      store,
      openStore,
      keys,
      mark: await openOwnMark(),
      openOwnMark,
    })
    damage.met = (met) => {
      device.damaged(met)
    }
    await device.open()
    return device
  } catch (error) {
    await store.close()
    throw error
  }
}

interface Parts {
  readonly options: DeviceOptions
  readonly dataDir: string
  readonly keys: DeviceKeys
  /** Open now. */
  store: MeshStore
  mark: Mark
  /** To open them again after the disk had failed. */
  readonly openStore: (lockWaitMs: number | undefined) => Promise<MeshStore>
  readonly openOwnMark: () => Promise<Mark>
}

class LocalDevice implements Device {
  readonly dataDir: string
  readonly #parts: Parts
  readonly #listeners = new Set<(event: DeviceEvent) => void>()
  #membership: OwnMembership | undefined
  #runtime: MeshRuntime | undefined
  #docs: LiveDocs | undefined
  #host: MeshHost | undefined
  #bridging: Bridging | undefined
  #closing: Promise<void> | undefined
  #recovering: Promise<void> | undefined
  readonly #stopRecovering = Promise.withResolvers<void>()
  #upAgain: UpOptions | undefined
  /** Why there is nothing to work with just now. */
  #failure: HavenError | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.dataDir = parts.dataDir
    offerDocuments(this, () => {
      this.#running()
      return this.#docs!
    })
  }

  async open(): Promise<void> {
    this.#membership = await loadMembership(this.#parts.store)
    if (this.#membership?.complete === true) await this.#start(this.#membership)
  }

  async #start(membership: OwnMembership): Promise<MeshRuntime> {
    this.#membership = membership
    const { store, keys, mark } = this.#parts
    const runtime = await MeshRuntime.open({
      store,
      keys,
      membership,
      mark,
      clock: systemClock,
      random: systemRandom,
      timers: systemTimers,
      emit: (event) => {
        this.#emit(event)
      },
      storeFailed: () => {
        this.#recover()
      },
      log: (level, code, message, details) =>
        this.#parts.options.log?.({ level, code, message, ...details }),
    })
    // Open documents find out first what of them has got to the disk: before anything else is written.
    if (this.#docs === undefined) this.#docs = this.#newDocs(runtime)
    else await this.#docs.resume(runtime)
    this.#runtime = runtime
    this.#bridging = await Bridging.open({
      runtime,
      clock: systemClock,
      random: systemRandom,
      log: (event, details) =>
        this.#parts.options.log?.({ level: 'debug', code: 'BRIDGE', message: event, ...details }),
    })
    const founding = await store.secret('founding/facts')
    if (founding !== undefined) {
      // A founding that was interrupted is finished.
      if (this.#runtime.replica.feeds === 0)
        await this.#runtime.writeFacts(decodeControlPayload(founding).facts)
      await store.batch([{ kind: 'secret', name: 'founding/facts', value: undefined }])
    }
    return this.#runtime
  }

  #newDocs(runtime: MeshRuntime): LiveDocs {
    return new LiveDocs(runtime, {
      problem: ({ collection, id }, { error: { code, message }, refused }) => {
        const name = this.#runtime?.collectionName(collection)
        this.#parts.options.log?.({ level: 'error', code, message })
        if (name === undefined || name === null) return
        const time = rfc3339(systemClock.nowMs())
        this.#emit({ event: 'edit-problem', time, collection: name, id, code, message, refused })
      },
    })
  }

  get info(): DeviceInfo | null {
    if (this.#membership?.complete !== true || this.#runtime === undefined) return null
    const { control } = this.#runtime
    return {
      id: control.device,
      name: control.nameOf(control.device) ?? emptyToNull(this.#membership.deviceName),
      role: control.ownRole,
    }
  }

  get mesh(): MeshInfo | null {
    if (this.#membership?.complete !== true || this.#runtime === undefined) return null
    return {
      id: this.#membership.mesh,
      name: this.#runtime.control.meshName ?? emptyToNull(this.#membership.meshName),
    }
  }

  // ---- becoming a member ----

  async found(options: FoundOptions): Promise<MembershipResult & { recovery: string }> {
    const site = options.site === undefined ? undefined : checkedSite(options.site)
    const recovery = await this.#enrolment().found(options)
    if (site !== undefined) await saySite(this.#running(), site)
    return { ...this.#result(), recovery }
  }

  async join(code: string, options?: JoinOptions): Promise<MembershipResult> {
    const site = options?.site === undefined ? undefined : checkedSite(options.site)
    await this.#enrolment().join(code, options)
    const runtime = this.#running()
    if (site !== undefined && !runtime.control.carriesOnly) await saySite(runtime, site)
    return this.#result()
  }

  async recover(options: RecoverOptions): Promise<MembershipResult> {
    await this.#enrolment().recover(options)
    return this.#result()
  }

  #enrolment(): Enrolment {
    return new Enrolment({
      store: this.#parts.store,
      keys: this.#parts.keys,
      membership: () => this.#membership,
      start: (membership) => this.#start(membership),
    })
  }

  #result(): MembershipResult {
    return { mesh: this.mesh!, device: this.info! }
  }

  #running(): MeshRuntime {
    if (this.#closing !== undefined) throw new HavenError('STOPPED', 'This device has been closed.')
    if (this.#runtime === undefined) {
      if (this.#failure !== undefined) throw this.#failure
      throw new HavenError(
        'NOT_MEMBER',
        'This device belongs to no mesh yet. Run haven init to found one, or haven join with an invitation.',
      )
    }
    return this.#runtime
  }

  // ---- running ----

  async up({ listen, peers = [], mdns = true, bridge }: UpOptions = {}): Promise<{
    addresses: string[]
  }> {
    const runtime = this.#running()
    if (this.#host !== undefined) throw new HavenError('USAGE', 'This device is up already.')
    const { createMeshHost } = await import('../mesh/mesh-host.ts')
    const remembered = await this.#rememberedAddresses()
    const host = createMeshHost({
      transportSeed: systemRandom.bytes(32),
      ...(listen === undefined || listen.length === 0 ? {} : { listen }),
      peers,
      remembered,
      mdns,
      accept: runtime.driver.accept,
      hashBinding,
      onAddressWorked: (address) => {
        void this.#rememberAddress(address)
      },
      log: (event, details) =>
        this.#parts.options.log?.({ level: 'debug', code: 'MESH', message: event, ...details }),
    })
    this.#host = host
    this.#upAgain = { listen, peers, mdns, bridge }
    runtime.driver.resume()
    try {
      await host.start()
    } catch (error) {
      this.#host = undefined
      throw error
    }
    const addresses = host.addresses()
    this.#bridging?.up({ auto: bridge === 'auto' })
    runtime.emit({ event: 'ready', addresses })
    const retiring = runtime.notices.find(({ code }) => code === 'RETIRING')
    if (retiring !== undefined) runtime.emit({ event: 'notice', ...retiring })
    return { addresses }
  }

  damaged(damage: Damage): void {
    this.#runtime?.damaged(damage)
  }

  /** The disk was full, or failed: as soon as it takes writes again, everything begins anew on the store opened again. */
  #recover(): void {
    if (this.#recovering !== undefined || this.#closing !== undefined) return
    this.#recovering = (async () => {
      for (;;) {
        await Promise.race([delay(reopenEveryMs), this.#stopRecovering.promise])
        if (this.#closing !== undefined) return
        try {
          if (await this.#reopen()) return
        } catch (error) {
          this.#failure = isHavenError(error)
            ? error
            : new HavenError('STORE_FAILED', 'The store can not be opened again.', { cause: error })
        }
      }
    })().finally(() => {
      this.#recovering = undefined
    })
  }

  /** Returns whether the store takes writes again. */
  async #reopen(): Promise<boolean> {
    const wasUp = this.#host !== undefined
    await this.#bridging?.close()
    await this.#host?.stop()
    this.#host = undefined
    await this.#runtime?.close()
    await this.#parts.store.close()
    await this.#parts.mark.close()
    this.#runtime = undefined
    this.#parts.store = await this.#parts.openStore(undefined)
    this.#parts.mark = await this.#parts.openOwnMark()
    if (this.#membership === undefined) return true
    await this.#start(this.#membership)
    if (wasUp || this.#upAgain !== undefined) await this.up(this.#upAgain)
    return this.#parts.store.failure === undefined
  }

  async #rememberedAddresses(): Promise<string[]> {
    return (await this.#parts.store.metas('address/')).map(({ name }) =>
      name.slice('address/'.length),
    )
  }

  async #rememberAddress(address: string): Promise<void> {
    try {
      const known = await this.#parts.store.metas('address/')
      const changes = known
        .slice(0, Math.max(0, known.length - rememberedAddressesMax))
        .map(({ name }) => ({ kind: 'meta' as const, name, value: undefined }))
      await this.#parts.store.batch(
        [...changes, { kind: 'meta', name: `address/${address}`, value: utf8ToBytes('1') }],
        { sync: false },
      )
    } catch {
      // It will be found again.
    }
  }

  async invite(options: InviteOptions = {}): Promise<Invitation> {
    const runtime = this.#running()
    return runtime.inviter.invite(options, this.#host?.addresses() ?? [])
  }

  #bridge(): Bridging {
    this.#running()
    return this.#bridging!
  }

  async addServer(code: string): Promise<ServerStatus> {
    return this.#bridge().add(code)
  }

  async allowServer(server?: string): Promise<BridgeStatus> {
    return this.#bridge().allow(server)
  }

  async pauseBridge(paused: boolean): Promise<BridgeStatus> {
    return this.#bridge().pause(paused)
  }

  async setBridgeBudget(budget: BudgetSetting | null): Promise<BridgeStatus> {
    return this.#bridge().setBudget(budget ?? undefined)
  }

  async bridgeStatus(): Promise<BridgeStatus> {
    return this.#bridge().report()
  }

  async invitationUsed(code: string, signal?: AbortSignal): Promise<DeviceInfo | null> {
    return this.#running().inviter.used(code, signal)
  }

  // ---- records ----

  async import(
    sources: Iterable<ImportSource> | AsyncIterable<ImportSource>,
    options: ImportOptions & { onProgress?: (progress: ImportProgress) => void } = {},
  ): Promise<ImportResult> {
    return this.#records().import(sources, options)
  }

  export(collection?: string): AsyncIterable<string> {
    return this.#records().export(collection)
  }

  async list(collection: string): Promise<{ id: string }[]> {
    return this.#records().list(collection)
  }

  async get(collection: string, id: string): Promise<RecordView> {
    return this.#records().get(collection, id)
  }

  async set(
    collection: string,
    id: string,
    fields: Iterable<[string, JsonText | undefined]>,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#records().set(collection, id, fields, options)
  }

  async delete(collection: string, id: string, options?: WriteOptions): Promise<WriteResult> {
    return this.#records().delete(collection, id, options)
  }

  async write(
    collection: string,
    id: string,
    changes: Iterable<RecordChange>,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#records().write(collection, id, [...changes], options)
  }

  async link(collection: string, ids: string[], options?: LinkOptions): Promise<LinkResult> {
    return new LinkOperations(this.#running()).link(collection, ids, options)
  }

  async unlink(collection: string, ids: string[], options?: LinkOptions): Promise<LinkResult> {
    return new LinkOperations(this.#running()).unlink(collection, ids, options)
  }

  async compare(
    collection: string,
    a: RecordVersionToken,
    b: RecordVersionToken,
  ): Promise<'before' | 'after' | 'equal' | 'concurrent'> {
    return this.#records().compare(collection, a, b)
  }

  async record(collection: string, id: string): Promise<OpenRecord> {
    return OperationsRecord.open(this, collection, id)
  }

  async conflicts(options: ConflictsOptions = {}): Promise<Conflict[]> {
    return new ConflictOperations(this.#running()).list(options)
  }

  async resolve(
    collection: string,
    id: string,
    field: string | null,
    resolution: Resolution,
    options: ResolveOptions = {},
  ): Promise<WriteResult> {
    const conflicts = new ConflictOperations(this.#running())
    return conflicts.resolve(collection, id, field, resolution, options)
  }

  async doc(collection: string, id: string): Promise<Y.Doc> {
    this.#running()
    return this.#docs!.open(collection, id)
  }

  #records(): RecordOperations {
    return new RecordOperations(this.#running())
  }

  async schemas(collection?: string): Promise<CollectionSchemas[]> {
    return new SchemaOperations(this.#running()).list(collection)
  }

  async schema(collection: string, version?: number): Promise<SchemaText> {
    return new SchemaOperations(this.#running()).text(collection, version)
  }

  async applySchema(text: string, options: { force?: boolean } = {}): Promise<AppliedSchema> {
    return new SchemaOperations(this.#running()).apply(text, options)
  }

  async pinSchema(collection: string, version: number | null): Promise<CollectionSchemas> {
    return new SchemaOperations(this.#running()).pin(collection, version)
  }

  async history(
    collection: string,
    id: string,
    options: HistoryOptions = {},
  ): Promise<RecordHistory> {
    return recordHistory(this.#running(), collection, id, options)
  }

  async recordStatus(collection: string, id: string): Promise<RecordStatus> {
    return recordStatus(this.#running(), collection, id)
  }

  async safeToWipe(options: WipeOptions = {}): Promise<WipeAnswer> {
    const runtime = this.#running()
    // What was typed last is to be among what others have to hold.
    await this.#docs?.settled()
    return safeToWipe(
      runtime,
      options,
      () => this.#runtime !== runtime || this.#closing !== undefined,
    )
  }

  async cancelRetirement(): Promise<boolean> {
    const wasRetiring = await this.#running().goOn()
    this.#docs?.tryAgain()
    return wasRetiring
  }

  async status(): Promise<DeviceStatus> {
    const runtime = this.#running()
    const { replica } = runtime
    const collections: DeviceStatus['collections'] = {}
    for (const id of runtime.control.membership.collections.keys()) {
      const name = runtime.collectionName(id)
      if (name === null) continue
      const collection = await runtime.integrator.collection(id)
      collections[name] = { records: collection.recordCount, contentHash: collection.contentHash }
    }
    const notices = runtime.notices
    if (this.#host !== undefined && this.#host.multicast() === false) {
      notices.push({
        code: 'NO_MULTICAST',
        message:
          'This network does not pass multicast on: devices have to be told addresses (--peer).',
      })
    }
    notices.push(...this.#bridge().notices())
    return {
      device: this.info,
      site: runtime.control.siteOf(runtime.control.device),
      mesh: this.mesh,
      peers: runtime.peers.all(),
      collections,
      clock: { feeds: replica.feeds, commits: replica.commits, digest: replica.digest },
      notices,
      running: this.#host !== undefined,
      addresses: this.#host?.addresses() ?? [],
    }
  }

  async site(of?: string): Promise<DeviceSite> {
    return siteOf(this.#running(), of)
  }

  async setSite(site: string | null, of?: string): Promise<DeviceSite> {
    return saySite(this.#running(), site, of)
  }

  async coverage(options?: CoverageOptions): Promise<Coverage> {
    return coverage(this.#running(), options)
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #emit(event: DeviceEvent): void {
    for (const listener of this.#listeners) listener(event)
    if (event.event === 'change' && this.#runtime !== undefined) {
      this.#docs?.changed(this.#runtime.collectionId(event.collection), event.ids)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopRecovering.resolve()
    await this.#recovering?.catch(() => {})
    await this.#docs?.close()
    await this.#bridging?.close()
    await this.#host?.stop()
    this.#host = undefined
    await this.#runtime?.close()
    await this.#parts.store.close()
    await this.#parts.mark.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const rememberedAddressesMax = 64
/** A full disk is looked at again so often. */
const reopenEveryMs = 5_000

function emptyToNull(text: string): string | null {
  return text === '' ? null : text
}
