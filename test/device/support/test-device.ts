import { MemoryLevel } from 'memory-level'

import { bytesToHex, hexToBytes } from '../../../src/core/bytes.ts'
import { foundMesh } from '../../../src/device/founding.ts'
import type { DeviceEvent } from '../../../src/device/api.ts'
import { offerDocuments } from '../../../src/device/documents-of.ts'
import { LiveDocs } from '../../../src/device/live-docs.ts'
import type { EditProblem } from '../../../src/device/edit-queue.ts'
import { MeshRuntime } from '../../../src/device/mesh-runtime.ts'
import { epochChange, membershipChange } from '../../../src/device/own-membership.ts'
import type { OwnMembership } from '../../../src/device/own-membership.ts'
import { RecordOperations } from '../../../src/device/record-operations.ts'
import { systemTimers } from '../../../src/device/system.ts'
import { decodeHeader } from '../../../src/feed/commit.ts'
import type { StoredCommit } from '../../../src/feed/commit-store.ts'
import { decodeDescriptor } from '../../../src/feed/descriptor.ts'
import { issueCertificate } from '../../../src/identity/certificate.ts'
import type { Role } from '../../../src/identity/certificate.ts'
import type { Fact } from '../../../src/identity/control-fact.ts'
import { DeviceKeys } from '../../../src/identity/device-key.ts'
import { meshCollectionId } from '../../../src/identity/names.ts'
import { ContentSum } from '../../../src/records/content-hash.ts'
import { openLevelStore } from '../../../src/store/level-store.ts'
import type { MeshStore } from '../../../src/store/mesh-store.ts'
import type { Mark, MarkContent } from '../../../src/store/mark.ts'
import type { Link, LinkHandler } from '../../../src/sync/link.ts'
import { segmentHolding } from '../../../src/feed/grow-chain.ts'
import { Chance } from '../../sync/support/chance.ts'

type MemoryDatabase = MemoryLevel<Uint8Array, Uint8Array>
const binary = { keyEncoding: 'view', valueEncoding: 'view' } as const
const storeKey = new Uint8Array(32).fill(4)

/** The whole of a machine, mark included. */
export interface Image {
  readonly rows: readonly (readonly [Uint8Array, Uint8Array])[]
  readonly mark: MarkContent | undefined
}

/** A mesh of running devices in one process, over memory. */
export class TestMesh {
  readonly chance: Chance
  nowMs = Date.UTC(2026, 5, 1)
  readonly devices: TestDevice[] = []
  readonly #founded
  readonly #founderKeys: DeviceKeys

  private constructor(seed: number) {
    this.chance = new Chance(seed)
    this.#founderKeys = DeviceKeys.generate(this.chance)
    this.#founded = foundMesh({ meshName: 'Camp', deviceName: 'first' }, this.#founderKeys, {
      nowMs: this.nowMs,
      random: this.chance,
    })
  }

  /** The first device is its admin. */
  static async found(seed = 1): Promise<TestMesh> {
    const mesh = new TestMesh(seed)
    const founded = mesh.#founded
    const founder = await mesh.#add(mesh.#founderKeys, [founded.certificate], founded.keys)
    await founder.runtime.writeFacts(founded.facts)
    return mesh
  }

  get mesh(): string {
    return this.#founded.mesh
  }

  get founder(): TestDevice {
    return this.devices[0]!
  }

  /** A member that has its keys; the facts come when it meets somebody who has them. */
  async enrol(role: Role): Promise<TestDevice> {
    const keys = DeviceKeys.generate(this.chance)
    const certificate = issueCertificate(
      {
        mesh: this.mesh,
        device: keys.device,
        agreementKey: keys.agreement.publicKey,
        role,
        issuedAtMs: this.nowMs++,
      },
      this.#founderKeys.signing,
      this.chance,
    )
    await this.founder.runtime.writeFacts([{ kind: 'certificate', certificate }])
    const all = this.#founded.keys
    const mine =
      role === 'courier' || role === 'server'
        ? all.filter(({ collection }) => collection === meshCollectionId(this.mesh))
        : all
    return this.#add(keys, [certificate, this.#founded.certificate], mine)
  }

  /** Members that have all facts, so that their records can be moved by hand. */
  async enrolAll(roles: readonly Role[]): Promise<TestDevice[]> {
    const added: TestDevice[] = []
    for (const role of roles) added.push(await this.enrol(role))
    for (const device of added) {
      const cut = connect(this.founder, device)
      await until(() => sameClock(this.founder, device))
      cut()
    }
    await Promise.all([this.founder, ...added].map((device) => device.idle()))
    for (const device of added) {
      const cut = connect(this.founder, device)
      await until(() => sameClock(this.founder, device))
      cut()
    }
    return added
  }

  async #add(
    keys: DeviceKeys,
    chain: OwnMembership['chain'],
    held: readonly { readonly collection: string; readonly key: Uint8Array }[],
  ): Promise<TestDevice> {
    const membership: OwnMembership = {
      mesh: this.mesh,
      meshName: 'Camp',
      deviceName: '',
      chain,
      complete: true,
      code: '',
    }
    const device = new TestDevice(this, keys, membership)
    await device.start(async (store) => {
      await store.batch([
        membershipChange(membership),
        ...held.map(({ collection, key }) => epochChange(collection, key)),
      ])
    })
    this.devices.push(device)
    return device
  }
}

export class TestDevice {
  readonly mesh: TestMesh
  readonly keys: DeviceKeys
  readonly membership: OwnMembership
  readonly marked: { code: string; message: string }[] = []
  readonly failures: unknown[] = []
  /** Edits of documents that could not be stored. */
  readonly problems: EditProblem[] = []
  store!: MeshStore
  runtime!: MeshRuntime
  operations!: RecordOperations
  docs!: LiveDocs
  readonly #listeners = new Set<(event: DeviceEvent) => void>()
  #db!: MemoryDatabase
  #mark: MarkContent | undefined

  constructor(mesh: TestMesh, keys: DeviceKeys, membership: OwnMembership) {
    this.mesh = mesh
    this.keys = keys
    this.membership = membership
    offerDocuments(this, () => this.docs)
  }

  async start(prepare: (store: MeshStore) => Promise<void>, image?: Image): Promise<void> {
    this.#db = new MemoryLevel<Uint8Array, Uint8Array>()
    for (const [key, value] of image?.rows ?? []) await this.#db.put(key, value, binary)
    this.#mark = image?.mark
    let runtime: MeshRuntime | undefined
    this.store = await openLevelStore({
      db: this.#db,
      storeKey,
      onDamage: (damage) => runtime?.damaged(damage),
    })
    await prepare(this.store)
    runtime = this.runtime = await MeshRuntime.open({
      store: this.store,
      keys: this.keys,
      membership: this.membership,
      mark: this.#newMark(image?.mark),
      clock: { nowMs: () => this.mesh.nowMs++ },
      random: this.mesh.chance,
      timers: systemTimers,
      emit: (event) => {
        for (const listener of this.#listeners) listener(event)
        if (event.event === 'change')
          this.docs.changed(this.runtime.collectionId(event.collection), event.ids)
      },
      storeFailed: (error) => this.failures.push(error),
      log: (level, code, message) => {
        if (level === 'warn') this.marked.push({ code, message })
        if (level === 'error') this.failures.push(new Error(`${code}: ${message}`))
      },
    })
    this.operations = new RecordOperations(this.runtime)
    this.docs = new LiveDocs(this.runtime, {
      problem: (_, problem) => this.problems.push(problem),
    })
    await this.idle()
  }

  /** The same database, opened again. */
  async restart(): Promise<void> {
    const image = await this.image()
    await this.runtime.close()
    await this.start(() => Promise.resolve(), image)
  }

  async image(): Promise<Image> {
    return { rows: await this.#db.iterator(binary).all(), mark: this.#mark }
  }

  /** The whole machine is put back, so that its feeds fork. */
  async putBack(image: Image): Promise<void> {
    await this.runtime.close()
    await this.start(() => Promise.resolve(), image)
  }

  #newMark(content: MarkContent | undefined): Mark {
    return {
      path: '',
      state: content === undefined ? 'missing' : 'ok',
      content,
      writable: true,
      write: (next) => {
        this.#mark = next
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    }
  }

  get id(): string {
    return this.keys.device
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async idle(): Promise<void> {
    await this.runtime.integrator.idle()
    if (this.failures.length > 0) throw this.failures[0]
  }

  async set(id: string, fields: Record<string, string | undefined>, urgent = false): Promise<void> {
    await this.operations.set('records', id, Object.entries(fields), { urgent })
  }

  async collection(name = 'records') {
    return this.runtime.integrator.collection(this.runtime.collectionId(name))
  }

  async contentHash(name = 'records'): Promise<string> {
    await this.idle()
    return (await this.collection(name)).contentHash
  }

  /** What is kept of a collection besides its records: content hash, number of records, those in conflict, and these with all contested. */
  async kept(name = 'records'): Promise<Kept> {
    await this.idle()
    const { id, contentHash, recordCount: records } = await this.collection(name)
    const idsOf = async (group: string): Promise<string[]> =>
      (await this.store.secrets(`${group}-${id}/`)).map(({ name: row }) =>
        row.slice(`${group}-${id}/`.length),
      )
    const inConflict = await idsOf('disputed')
    const contested = [...(await idsOf('contested')), ...inConflict].toSorted()
    return { contentHash, records, contested, inConflict }
  }

  /** The same, made anew of all records as they are stored. */
  async recount(name = 'records'): Promise<Kept> {
    const collection = await this.collection(name)
    await collection.causalityReady()
    const sum = new ContentSum()
    const kept = { records: 0, contested: [] as string[], inConflict: [] as string[] }
    for await (const state of collection.allStates()) {
      const { hash, exists, contested } = collection.measure(state)
      if (hash !== undefined) sum.add(hash)
      if (exists) kept.records += 1
      const isInConflict = (await collection.view(state)).conflicts.length > 0
      if (contested || isInConflict) kept.contested.push(state.id)
      if (isInConflict) kept.inConflict.push(state.id)
    }
    kept.contested.sort()
    kept.inConflict.sort()
    return { contentHash: bytesToHex(sum.toBytes()), ...kept }
  }

  /** All that is seen of a collection, as people would compare it. */
  async seen(name = 'records'): Promise<unknown[]> {
    const collection = await this.collection(name)
    const views: unknown[] = []
    for await (const state of collection.allStates()) {
      const view = await collection.view(state)
      const conflicts = view.conflicts.map(({ field, kind, values }) => [
        field,
        kind,
        values.map(({ op, value }) => [op, value]),
      ])
      if (view.exists || view.deleted)
        views.push([state.id, view.deleted, inOrder([...view.fields]), inOrder(conflicts)])
    }
    return inOrder(views)
  }

  /** Ids of the collection's feeds held here. */
  feeds(name = 'records'): string[] {
    return this.runtime.integrator.feedsOf(this.runtime.collectionId(name)).map(({ feed }) => feed)
  }

  /** Puts commits of another device's feed into the store, as if they had arrived by themselves. */
  async take(from: TestDevice, feed: string, upTo = Infinity): Promise<void> {
    const commits = await from.store.commits({ feed, after: 0 })
    const { bytes } = (await from.store.descriptors()).find((each) => each.feed === feed)!
    await this.accept(
      commits.filter(({ seq }) => seq <= upTo),
      bytes,
    )
  }

  async accept(commits: readonly StoredCommit[], descriptorBytes: Uint8Array): Promise<void> {
    const { replica } = this.runtime
    const descriptor = decodeDescriptor(descriptorBytes)
    const { feed } = descriptor
    const wasForked = replica.chain(feed).forked
    let chain = replica.chain(feed)
    const known = (await this.store.commits({ feed, after: 0 })).map(linkOf)
    const fresh: StoredCommit[] = []
    for (const commit of commits) {
      const link = linkOf(commit)
      if (known.some(({ id }) => id === link.id)) continue
      const at = link.seq === 1 ? -1 : segmentHolding(chain, link.seq - 1, link.prev, known)
      if (at === undefined) continue
      const next = known.find((each) => each.seq === link.seq && each.prev === link.prev)
      chain = chain.with(link, at, next?.id)
      known.push(link)
      fresh.push(commit)
    }
    if (fresh.length === 0) return
    await this.store.batch([
      { kind: 'descriptor', descriptor: { feed, bytes: descriptorBytes } },
      ...fresh.map((commit) => ({ kind: 'commit' as const, commit })),
      { kind: 'chain', feed, value: chain.encode() },
    ])
    replica.addDescriptor(descriptor)
    replica.stage(chain)
    replica.durable(chain)
    if (chain.forked && !wasForked) this.runtime.integrator.forked(feed)
    this.runtime.integrator.wake([feed])
    await this.idle()
  }

  async facts(facts: readonly Fact[]): Promise<void> {
    await this.runtime.writeFacts(facts)
    await this.idle()
  }
}

interface Kept {
  contentHash: string
  records: number
  contested: string[]
  inConflict: string[]
}

function inOrder<T>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

function linkOf(commit: StoredCommit) {
  const prev = bytesToHex(decodeHeader(commit.header).prev)
  return { seq: commit.seq, id: bytesToHex(commit.id), prev }
}

export function sameClock(a: TestDevice, b: TestDevice): boolean {
  return a.runtime.replica.digest === b.runtime.replica.digest
}

let links = 0

/** A link between two devices; the returned function cuts it. */
export function connect(a: TestDevice, b: TestDevice): () => void {
  const number = ++links
  const handlers: (LinkHandler | undefined)[] = []
  let open = true
  const end = (reason: string): void => {
    if (!open) return
    open = false
    for (const handler of handlers) handler?.closed(reason)
  }
  const side = (index: 0 | 1): Link => ({
    id: `${number}/${index}`,
    side: index === 0 ? 'dialler' : 'listener',
    binding: hexToBytes('00'.repeat(32)),
    remoteAddress: '',
    queuedBytes: 0,
    send: (frame) => {
      setImmediate(() => {
        if (open) handlers[1 - index]?.received(frame)
      })
      return true
    },
    close: (reason) => {
      setImmediate(() => {
        end(reason)
      })
    },
  })
  handlers[0] = a.runtime.driver.accept(side(0))
  handlers[1] = b.runtime.driver.accept(side(1))
  return () => {
    end('cut')
  }
}

/** Waits for something to become true. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs = 8_000,
): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error('it did not come true in time')
    await new Promise((resolve) => {
      setTimeout(resolve, 2)
    })
  }
}
