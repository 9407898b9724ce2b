/**
 * Members, rights and keys, as this device knows them: the control facts of `_mesh`, evaluated, and the epoch keys that it holds. The
 * sync engine asks it who may come in; the records ask it what counts.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import type { Clock, Random } from '../core/environment.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { commitKinds, decodeHeader } from '../feed/commit.ts'
import type { CommitStore, StoreChange, StoredCommit } from '../feed/commit-store.ts'
import { openCiphertext, unpackPayload } from '../feed/seal.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { verifyChain } from '../identity/certificate-chain.ts'
import { carriesOnly, decodeCertificate, mayRead, mayWrite } from '../identity/certificate.ts'
import type { Certificate } from '../identity/certificate.ts'
import { decodeControlPayload, factTypes, verifyFact } from '../identity/control-fact.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { discoveryKey, epochIdOf, openEpochKey, sealEpochKey } from '../identity/epoch.ts'
import { evaluateMembership, grantsFor } from '../identity/membership.ts'
import type { Membership, PlacedFact } from '../identity/membership.ts'
import { recoveryKey } from '../identity/hello.ts'
import { labelsCollectionId, meshCollectionId } from '../identity/names.ts'
import { decodeRevocation, verifyRevocation } from '../identity/revocation.ts'
import { openFactText } from '../identity/sealed-fact.ts'
import type { Authority } from '../sync/engine-port.ts'
import type { Replica } from '../sync/replica.ts'
import { epochChange } from './own-membership.ts'
import type { InvitationBook } from './invitation-book.ts'

interface HeldKey {
  readonly collection: string
  readonly key: Uint8Array
}

export interface ControlPlaneOptions {
  readonly mesh: string
  readonly keys: DeviceKeys
  readonly ownChain: readonly Certificate[]
  readonly incarnation: () => { id: string; generation: number }
  readonly store: CommitStore
  readonly replica: Replica
  readonly invitations: InvitationBook
  readonly clock: Clock
  readonly random: Random
}

export class ControlPlane implements Authority {
  readonly mesh: Uint8Array
  readonly meshId: string
  readonly device: string
  readonly keys: DeviceKeys
  readonly meshCollection: string
  readonly labelsCollection: string
  readonly #options: ControlPlaneOptions
  readonly #epochKeys = new Map<string, HeldKey>()
  #facts: PlacedFact[] = []
  #membership: Membership
  readonly #seenCommits = new Set<string>()
  readonly #unreadable = new Map<string, StoredCommit[]>()
  /** Payload so far of a control commit that goes on in the next one, by the id of the last part. */
  readonly #parts = new Map<string, Uint8Array>()
  readonly #shown = new Map<string, readonly Certificate[]>()
  #discoveryKeys: Uint8Array[] = []
  #announced = new Set<string>()
  /** Of each device the newest certificate that counts, whether it was removed since or not. */
  readonly #lastCertificates = new Map<string, Certificate>()

  constructor(options: ControlPlaneOptions) {
    this.#options = options
    this.meshId = options.mesh
    this.mesh = hexToBytes(options.mesh)
    this.keys = options.keys
    this.device = options.keys.device
    this.meshCollection = meshCollectionId(options.mesh)
    this.labelsCollection = labelsCollectionId(options.mesh)
    this.#membership = evaluateMembership(options.mesh, [])
  }

  get membership(): Membership {
    return this.#membership
  }

  // ---- keys ----

  async restore(): Promise<void> {
    await this.restoreKeys()
    for (const descriptor of this.#options.replica.descriptors()) {
      if (bytesToHex(descriptor.collection) === this.meshCollection) await this.read(descriptor)
    }
    this.#evaluate()
  }

  /** Takes in what keys are in the store. */
  async restoreKeys(): Promise<void> {
    for (const { name, value } of await this.#options.store.secrets('epoch/')) {
      this.#hold(name.slice('epoch/'.length), value)
    }
    this.#renewDiscovery()
  }

  #hold(epoch: string, row: Uint8Array): void {
    this.#epochKeys.set(epoch, { collection: bytesToHex(row.subarray(0, 16)), key: row.slice(16) })
  }

  /** Takes a key in; its id proves it. The change makes it durable. */
  addKey(collection: string, key: Uint8Array): StoreChange {
    this.#epochKeys.set(epochIdOf(key), { collection, key })
    this.#renewDiscovery()
    return epochChange(collection, key)
  }

  /** @returns undefined when the key was not sealed to this device, or is not the one that it says */
  addSealedKey(collection: string, epoch: string, sealed: Uint8Array): StoreChange | undefined {
    if (this.#epochKeys.has(epoch)) return undefined
    const key = openEpochKey(sealed, { mesh: this.meshId, collection, epoch }, this.keys.agreement)
    return key === undefined ? undefined : this.addKey(collection, key)
  }

  epochKey(epoch: string): Uint8Array | undefined {
    return this.#epochKeys.get(epoch)?.key
  }

  heldKeys(): HeldKey[] {
    return [...this.#epochKeys.values()]
  }

  epochOf(key: Uint8Array): string {
    return epochIdOf(key)
  }

  /** The epoch to write in; undefined: no key. */
  epochToWrite(collection: string): { epoch: string; key: Uint8Array } | undefined {
    const newest = this.#membership.newestEpoch(collection, this.#epochKeys)
    // A new member writes with the keys that it was handed before it has heard the facts.
    const epoch =
      newest?.epoch ?? [...this.#epochKeys].find(([, held]) => held.collection === collection)?.[0]
    const key = epoch === undefined ? undefined : this.epochKey(epoch)
    return epoch === undefined || key === undefined ? undefined : { epoch, key }
  }

  #renewDiscovery(): void {
    const newest = this.#membership
      .epochs(this.meshCollection)
      .toReversed()
      .map(({ epoch }) => epoch)
    const others = [...this.#epochKeys]
      .filter(([, held]) => held.collection === this.meshCollection)
      .map(([epoch]) => epoch)
    const order = [...new Set([...newest, ...others])]
    this.#discoveryKeys = order.flatMap((epoch) => {
      const key = this.epochKey(epoch)
      return key === undefined ? [] : [discoveryKey(key, this.meshId)]
    })
  }

  /** Epochs that commits here are sealed under, or that were announced for what we may read, and whose keys are lacking. */
  neededEpochs(): string[] {
    const needed = new Set(this.#unreadable.keys())
    const own = this.#ownCertificate()
    for (const collection of [
      this.meshCollection,
      this.labelsCollection,
      ...this.#membership.collections.keys(),
    ]) {
      if (own === undefined || !mayRead(own, collection)) continue
      for (const { epoch } of this.#membership.epochs(collection))
        if (!this.#epochKeys.has(epoch)) needed.add(epoch)
    }
    for (const epoch of needed) if (this.#epochKeys.has(epoch)) needed.delete(epoch)
    return [...needed]
  }

  // ---- facts ----

  /** Reads the commits of a control feed that have not been read. */
  async read(descriptor: FeedDescriptor): Promise<void> {
    const commits = await this.#options.store.commits({ feed: descriptor.feed, after: 0 })
    for (const commit of commits) this.#take(commit, descriptor)
  }

  /** Control commits have become durable. */
  stored(commits: readonly StoredCommit[]): void {
    for (const commit of commits) {
      const descriptor = this.#options.replica.descriptor(commit.feed)
      if (descriptor !== undefined) this.#take(commit, descriptor)
    }
    this.#evaluate()
  }

  /** Keys have come: what could not be read may be readable now. */
  retry(): void {
    const waiting = [...this.#unreadable.values()].flat()
    this.#unreadable.clear()
    for (const commit of waiting) {
      const descriptor = this.#options.replica.descriptor(commit.feed)
      if (descriptor !== undefined) this.#take(commit, descriptor)
    }
    this.#evaluate()
  }

  #take(commit: StoredCommit, descriptor: FeedDescriptor): void {
    const id = bytesToHex(commit.id)
    if (this.#seenCommits.has(id)) return
    const header = decodeHeader(commit.header)
    if (header.kind !== commitKinds.control) return
    const epoch = bytesToHex(header.epoch)
    const epochKey = this.epochKey(epoch)
    if (epochKey === undefined) {
      const waiting = this.#unreadable.get(epoch)
      if (waiting === undefined) this.#unreadable.set(epoch, [commit])
      else if (!waiting.some((each) => bytesToHex(each.id) === id)) waiting.push(commit)
      return
    }
    this.#seenCommits.add(id)
    try {
      const place = { epochKey, salt: header.salt, feed: header.feed, seq: header.seq }
      const payload = unpackPayload(openCiphertext(commit.ciphertext, place, commit.header))
      const before = this.#parts.get(bytesToHex(header.prev))
      const whole = before === undefined ? payload : Buffer.concat([before, payload])
      if (whole.length > limits.updateBytes) return
      if (header.continued) {
        this.#parts.set(id, whole)
        return
      }
      this.#place(whole, commit, bytesToHex(descriptor.device))
    } catch (error) {
      // A member wrote something that nobody can read: it is kept, and says nothing.
      if (!isHavenError(error)) throw error
    }
  }

  #place(payload: Uint8Array, commit: StoredCommit, author: string): void {
    const { time, facts } = decodeControlPayload(payload)
    for (const fact of facts) {
      if (!verifyFact(fact, { mesh: this.meshId, author })) continue
      this.#facts.push({
        fact,
        feed: commit.feed,
        author,
        seq: commit.seq,
        commitId: bytesToHex(commit.id),
        time,
      })
    }
  }

  #evaluate(): void {
    this.#membership = evaluateMembership(this.meshId, this.#facts)
    this.#lastCertificates.clear()
    for (const { fact } of this.#facts) {
      if (fact.kind !== 'certificate') continue
      const counts = this.#membership.certificate(fact.certificate.id)
      const known = counts && this.#lastCertificates.get(counts.device)
      if (counts === undefined || (known !== undefined && known.issuedAtMs > counts.issuedAtMs))
        continue
      this.#lastCertificates.set(counts.device, counts)
    }
    this.#announced = new Set()
    for (const collection of [
      this.meshCollection,
      this.labelsCollection,
      ...this.#membership.collections.keys(),
    ]) {
      for (const announced of this.#membership.epochs(collection)) {
        this.#announced.add(announced.epoch)
        if (this.#epochKeys.has(announced.epoch)) continue
        for (const sealed of grantsFor(announced, this.device))
          this.#grants.push({ collection, epoch: announced.epoch, sealed })
      }
    }
    this.#renewDiscovery()
  }

  readonly #grants: { collection: string; epoch: string; sealed: Uint8Array }[] = []

  /** Keys that facts have brought to this device; the changes make them durable. */
  takeGrants(): StoreChange[] {
    return this.#grants
      .splice(0)
      .flatMap(
        ({ collection, epoch, sealed }) => this.addSealedKey(collection, epoch, sealed) ?? [],
      )
  }

  // ---- what facts mean for records ----

  /** Whether an admin has announced an epoch: before, what is written in it does not count. */
  isAnnounced(epoch: string): boolean {
    return this.#announced.has(epoch)
  }

  /** This device holds what it can't read. */
  get carriesOnly(): boolean {
    const own = this.#ownCertificate()
    return own === undefined || carriesOnly(own)
  }

  mayWriteHere(collection: string): boolean {
    const own = this.#ownCertificate()
    return own !== undefined && mayWrite(own, collection)
  }

  /** A text that changes whenever the verdict on a feed's commits may have changed. */
  verdictOf(descriptor: FeedDescriptor): string {
    const device = bytesToHex(descriptor.device)
    const collection = bytesToHex(descriptor.collection)
    const certificate = this.certificateOf(device)
    const writes = certificate !== undefined && mayWrite(certificate, collection)
    const cuts = this.#membership.cutsOf(device, descriptor.feed)
    return `${writes ? 'w' : '-'}${cuts.length === 0 ? '' : JSON.stringify(cuts)}`
  }

  isHidden(descriptor: FeedDescriptor, seq: number, id: string): boolean {
    const device = bytesToHex(descriptor.device)
    const certificate = this.certificateOf(device)
    if (certificate === undefined || !mayWrite(certificate, bytesToHex(descriptor.collection)))
      return true
    if (this.#membership.certificate(certificate.id) === undefined) return false
    return this.#membership.isHidden(descriptor.feed, device, seq, id)
  }

  /** The certificate that stands for a device, or the last one that stood; also one that it has only shown. */
  certificateOf(device: string): Certificate | undefined {
    return (
      this.#membership.member(device)?.certificate ??
      this.#lastCertificates.get(device) ??
      this.#shown.get(device)?.[0] ??
      (device === this.device ? this.#options.ownChain[0] : undefined)
    )
  }

  nameOf(device: string): string | null {
    const sealed = this.#membership.member(device)?.name
    return sealed === undefined ? null : this.openText(sealed, factTypes.deviceName)
  }

  /** Null: nobody has said where it is used, or this device can't read that. */
  siteOf(device: string): string | null {
    const sealed = this.#membership.siteOf(device)
    return sealed === undefined ? null : this.openText(sealed, factTypes.site)
  }

  get meshName(): string | null {
    const sealed = this.#membership.meshName
    return sealed === undefined ? null : this.openText(sealed, factTypes.meshName)
  }

  openText(sealed: Uint8Array, type: number): string | null {
    const opened = this.#openedTexts.get(sealed)
    if (opened?.type === type) return opened.text
    const text = openFactText(sealed, { mesh: this.meshId, type }, (epoch) => this.epochKey(epoch))
    if (text === undefined) return null
    this.#openedTexts.set(sealed, { type, text })
    return text
  }

  /** Facts don't change, and each value of a conflict names a device. */
  readonly #openedTexts = new WeakMap<
    Uint8Array,
    { readonly type: number; readonly text: string }
  >()

  /** Null: no key for it yet. */
  openSchema(sealed: Uint8Array): string | null {
    const fact = { mesh: this.meshId, type: factTypes.schema, maxBytes: limits.schemaBytes }
    return openFactText(sealed, fact, (epoch) => this.epochKey(epoch)) ?? null
  }

  /** Certificates that peers have shown and that are not among the facts: worth a fact, so that others hear of them. */
  unknownShown(): Certificate[] {
    return [...this.#shown.values()]
      .flat()
      .filter((certificate) => this.#membership.certificate(certificate.id) === undefined)
  }

  /** This device has said that it is to be wiped. */
  get isRetiring(): boolean {
    return this.#membership.isRetiring(this.device)
  }

  /** @throws HavenError `RETIRING` */
  assertTakesWrites(): void {
    if (!this.isRetiring) return
    throw new HavenError(
      'RETIRING',
      'This device is to be wiped, and takes no writes any more. Write on another one, or take that back: haven safe-to-wipe --cancel.',
    )
  }

  /** Whether control commits of a device are held that can't be read (yet). */
  hasUnreadFacts(device: string): boolean {
    for (const commits of this.#unreadable.values()) {
      for (const { feed } of commits) {
        const descriptor = this.#options.replica.descriptor(feed)
        if (descriptor !== undefined && bytesToHex(descriptor.device) === device) return true
      }
    }
    return false
  }

  // ---- Authority, for the sync engine ----

  get incarnation(): string {
    return this.#options.incarnation().id
  }

  get generation(): number {
    return this.#options.incarnation().generation
  }

  discoveryKeys(): Uint8Array[] {
    return this.#discoveryKeys
  }

  #ownCertificate(): Certificate | undefined {
    return this.#membership.member(this.device)?.certificate ?? this.#options.ownChain[0]
  }

  get ownRole(): Certificate['role'] {
    return this.#ownCertificate()?.role ?? 'viewer'
  }

  ownCertificate(): { id: string; chain: readonly Certificate[] } {
    const known = this.#membership.chainOf(this.device)
    const chain = known.length > 0 ? known : this.#options.ownChain
    return { id: chain[0]!.id, chain }
  }

  deviceOfCertificate(certificateId: string): string | undefined {
    const certificate = this.#membership.certificate(certificateId)
    if (certificate !== undefined && this.#membership.member(certificate.device) !== undefined)
      return certificate.device
    for (const [device, [shown]] of this.#shown) if (shown?.id === certificateId) return device
    return undefined
  }

  acceptChain(chain: readonly Uint8Array[]): string {
    const certificates = chain.map((bytes) => decodeCertificate(bytes))
    const own = verifyChain(this.meshId, certificates)
    if (this.#membership.member(own.device) !== undefined) return own.device
    // Whom a removed admin has enrolled is a member only if the facts say so.
    if (certificates.some(({ device }) => this.#membership.isRevoked(device))) {
      throw new HavenError(
        'REVOKED',
        'A device that was removed from the mesh, or was enrolled by one, wanted to connect.',
      )
    }
    if (this.#membership.certificate(own.id) === undefined)
      this.#shown.set(own.device, certificates)
    return own.device
  }

  isMember(device: string): boolean {
    return this.#membership.member(device) !== undefined || this.#shown.has(device)
  }

  isVouchedFor(device: string): boolean {
    return (
      device === this.device ||
      this.certificateOf(device) !== undefined ||
      this.#membership.isRevoked(device)
    )
  }

  revocationOf(device: string): Uint8Array | undefined {
    return this.#membership.isRevoked(device)
      ? this.#membership.revocationOf(device)?.bytes
      : undefined
  }

  /** Whether this is a revocation of this device by somebody who may revoke. */
  revokesThisDevice(bytes: Uint8Array): boolean {
    const revocation = decodeRevocation(bytes)
    const byAdmin =
      revocation.author === this.#membership.root?.publicKey ||
      this.#membership.member(revocation.author)?.role === 'admin'
    return (
      revocation.mesh === this.meshId &&
      revocation.device === this.device &&
      byAdmin &&
      verifyRevocation(revocation)
    )
  }

  sealKeyFor(
    device: string,
    epoch: string,
  ): { collection: string; sealed: Uint8Array } | undefined {
    const held = this.#epochKeys.get(epoch)
    const certificate = this.certificateOf(device)
    if (held === undefined || certificate === undefined || !mayRead(certificate, held.collection)) {
      return undefined
    }
    if (this.#membership.isRevoked(device)) return undefined
    // Nobody hands an epoch on without knowing whom it excludes.
    const announced = this.#membership.epochs(held.collection).find((each) => each.epoch === epoch)
    if (announced?.excluded.some((id) => this.#membership.revocation(id) === undefined) === true) {
      return undefined
    }
    const to = {
      mesh: this.meshId,
      collection: held.collection,
      agreementKey: certificate.agreementKey,
    }
    return { collection: held.collection, sealed: sealEpochKey(held.key, to, this.#options.random) }
  }

  epochsFor(device: string): string[] {
    const certificate = this.certificateOf(device)
    if (certificate === undefined) return []
    return [...this.#epochKeys]
      .filter(([, held]) => mayRead(certificate, held.collection))
      .map(([epoch]) => epoch)
  }

  readableEpochs(): string[] {
    return [...this.#epochKeys.keys()].map((epoch) => epoch.slice(0, 16)).toSorted()
  }

  priorityOf(collection: string): number {
    if (collection === this.meshCollection) return -1
    return this.#membership.collections.get(collection)?.priority ?? 255
  }

  invitationKeys(): { key: Uint8Array; code: string }[] {
    return this.#options.invitations.keys()
  }

  recoveryKey(): Uint8Array | undefined {
    const root = this.#membership.root?.publicKey
    return root === undefined ? undefined : recoveryKey(hexToBytes(root), this.meshId)
  }
}
