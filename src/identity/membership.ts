/**
 * What a set of control facts means: who is a member, who was removed, what is hidden, which keys are in use
 * (docs/protocol.md, What the facts mean). A pure function of the set, whatever the order of the list.
 */
import { compareBytes, hexToBytes } from '../core/bytes.ts'
import { compareTimes, type HybridTime } from '../core/hybrid-time.ts'
import {
  type Carrier,
  type CommitPlace,
  judge,
  type KnownCertificate,
  type KnownFacts,
  type KnownRevocation,
  type Verdict,
} from './authority.ts'
import type { Certificate, Role } from './certificate.ts'
import {
  type CollectionFact,
  encodeFactBody,
  type EpochFact,
  type Fact,
  type VoidFact,
} from './control-fact.ts'
import { deviceNames, deviceSites } from './device-label.ts'
import type { FeedPlace } from './feed-place.ts'
import { meshIdOf } from './names.ts'
import { type Retirement, retirementsOf } from './retirement.ts'
import type { Revocation } from './revocation.ts'
import { type AnnouncedSchema, announcedSchemas } from './schema-announcement.ts'
import { serverAddresses } from './server-address.ts'

/** A fact that `verifyFact` accepted, and the commit that brought it. Ids are lower-case hex. */
export interface PlacedFact {
  readonly fact: Fact
  /** The author's feed in `_mesh`. */
  readonly feed: string
  /** The device that signed the commit. */
  readonly author: string
  readonly seq: number
  /** 32 bytes. */
  readonly commitId: string
  /** Of the payload. */
  readonly time: HybridTime
}

interface Member {
  readonly device: string
  /** The one that stands; the device may have others. */
  readonly certificate: Certificate
  readonly role: Role
  /** Sealed; undefined: it has not said. */
  readonly name: Uint8Array | undefined
}

/** An epoch that an admin announced. */
export interface AnnouncedEpoch {
  readonly collection: string
  readonly epoch: string
  /** The lowest that was announced: an old key does not become the newest by being announced again. */
  readonly depth: number
  /** Revocations that must be known before the epoch is used or handed on. */
  readonly excluded: readonly string[]
  readonly announcements: readonly EpochFact[]
}

interface OwnVoid extends VoidFact {
  /** Means something only if this device owns the feed. */
  readonly author: string
}

/** Immutable; device ids, feed ids and so on are lower-case hex. */
export interface Membership {
  readonly mesh: string
  /** Known as soon as anything that the root signed is. */
  readonly root:
    { readonly publicKey: string; readonly agreementKey: Uint8Array | undefined } | undefined
  /** Sealed. */
  readonly meshName: Uint8Array | undefined
  /** By id, those with the lowest priority number first. */
  readonly collections: ReadonlyMap<string, CollectionFact>
  readonly voids: readonly OwnVoid[]
  /** Where each server that is a member can be reached, best first. */
  readonly servers: ReadonlyMap<string, readonly string[]>

  member(device: string): Member | undefined
  /** Sorted by device. */
  members(): readonly Member[]
  /** It was removed, and no certificate restored it. */
  isRevoked(device: string): boolean
  /** What to send to a device that {@link Membership.isRevoked}: the root's revocation, or that with the lowest id. */
  revocationOf(device: string): Revocation | undefined
  /** Any revocation known, whether it counts or not. */
  revocation(id: string): Revocation | undefined
  /** Whether this device has stated what it held when it learnt of the revocation. */
  hasStated(revocation: string, device: string): boolean
  /** The device has said that it is to be wiped, and not taken that back: nobody counts on what it holds. */
  isRetiring(device: string): boolean
  /** Where a device is used, sealed; also of one that was removed. Undefined: nobody has said. */
  siteOf(device: string): Uint8Array | undefined
  /** The commit by which it said so. */
  retirementOf(device: string): Retirement | undefined
  /** Any certificate that counts, also of a device that was removed. */
  certificate(id: string): Certificate | undefined
  /** From the device's own certificate to one issued by the root; empty when it is no member. */
  chainOf(device: string): readonly Certificate[]

  /**
   * Whether a commit is kept and carried but not shown: its author was removed before, or nobody vouches for it.
   *
   * @param commitId - in hex; without it a commit of another branch of a forked feed passes by its seq
   */
  isHidden(feed: string, device: string, seq: number, commitId?: string): boolean
  /**
   * How far a removed device's feed is shown, for each revocation that is in force; no place: nothing is shown.
   * Empty: the device is not cut.
   */
  cutsOf(device: string, feed: string): readonly (readonly FeedPlace[])[]

  /** All that were announced of a collection, the lowest version first. */
  schemas(collection: string): readonly AnnouncedSchema[]

  /** In the order of (depth, id). */
  epochs(collection: string): readonly AnnouncedEpoch[]
  /**
   * The epoch to write in: of those held, announced, and whose excluded revocations are known, the greatest by
   * (depth, id). Undefined: no key to write with.
   */
  newestEpoch(
    collection: string,
    heldIds: { has(epoch: string): boolean },
  ): AnnouncedEpoch | undefined
}

/**
 * @param leadsTo - whether a commit is `head` or lies before it in its chain, as far as is known here. The default
 *   goes by seq, which is right as long as the feed of a removed device has no fork.
 */
export function evaluateMembership(
  mesh: string,
  facts: readonly PlacedFact[],
  leadsTo: (commit: CommitPlace, head: FeedPlace) => boolean = precedesBySeq,
): Membership {
  const known = collectKnown(mesh, facts, leadsTo)
  const verdict = judge(known)
  const standing = standingCertificates(known, verdict)
  const inForce = revocationsInForce(known, verdict)
  const vouchedFor = new Set<string>()
  for (const id of verdict.certificates.keys()) {
    vouchedFor.add(known.certificates.get(id)!.certificate.device)
  }

  const isHidden = (feed: string, device: string, seq: number, commitId?: string): boolean => {
    if (!vouchedFor.has(device)) return true
    const revocations = inForce.get(device)
    if (revocations === undefined) return false
    const commit = { feed, seq, commitId }
    return revocations.some(({ revocation }) => !verdict.isWithin(commit, revocation.id))
  }
  const isShown = (placed: PlacedFact) =>
    !isHidden(placed.feed, placed.author, placed.seq, placed.commitId)

  const sorted = facts.toSorted(byTime)
  const shown = sorted.filter(isShown)
  const isByAdmin = (placed: PlacedFact) => verdict.isByAdmin(placed)
  const members = membersOf(standing, deviceNames(shown.filter(isKind('deviceName')), isByAdmin))
  const sites = deviceSites(shown.filter(isKind('site')), isByAdmin)
  const byAdmins = sorted.filter(isByAdmin)
  const epochs = epochsByCollection(byAdmins)
  const schemas = announcedSchemas(byAdmins.filter(isKind('schema')))
  const retirements = retirementsOf(shown)

  return {
    mesh,
    root: rootOf(mesh, known, facts),
    meshName: byAdmins.findLast(isKind('meshName'))?.fact.name,
    collections: collectionsOf(byAdmins),
    voids: sorted
      .filter(isKind('void'))
      .filter(isShown)
      .map(({ fact, author }) => ({ ...fact, author })),
    servers: serverAddresses(
      byAdmins.filter(isKind('server')),
      (device) => members.get(device)?.role === 'server',
    ),

    member: (device) => members.get(device),
    members: () => [...members.values()],
    isRevoked: (device) => verdict.revocationsByDevice.has(device) && !standing.has(device),
    revocationOf(device) {
      const revocations = standing.has(device) ? [] : verdict.revocationsByDevice.get(device)
      return (revocations?.find(({ byRoot }) => byRoot) ?? revocations?.[0])?.revocation
    },
    revocation: (id) => known.revocations.get(id)?.revocation,
    hasStated: (revocation, device) =>
      known.revocations.get(revocation)?.statements.some(({ author }) => author === device) ??
      false,
    isRetiring: (device) => retirements.has(device),
    siteOf: (device) => sites.get(device),
    retirementOf: (device) => retirements.get(device),
    certificate: (id) =>
      verdict.certificates.has(id) ? known.certificates.get(id)!.certificate : undefined,
    chainOf(device) {
      const chain: Certificate[] = []
      let id = standing.get(device)?.id
      while (id !== undefined) {
        chain.push(known.certificates.get(id)!.certificate)
        id = verdict.certificates.get(id)
      }
      return chain
    },
    isHidden,
    cutsOf: (device, feed) =>
      inForce.get(device)?.map(({ revocation }) => verdict.cut(revocation.id, feed)) ?? [],
    schemas: (collection) => schemas.get(collection) ?? [],
    epochs: (collection) => epochs.get(collection) ?? [],
    newestEpoch: (collection, heldIds) =>
      epochs
        .get(collection)
        ?.findLast(
          ({ epoch, excluded }) =>
            heldIds.has(epoch) && excluded.every((id) => known.revocations.has(id)),
        ),
  }
}

/** Sealed keys of an epoch for one device, from whoever announced it; the id of the epoch proves each. */
export function grantsFor(epoch: AnnouncedEpoch, device: string): Uint8Array[] {
  return epoch.announcements.flatMap(({ grants }) =>
    grants.filter((grant) => grant.device === device).map(({ sealed }) => sealed),
  )
}

function precedesBySeq(commit: CommitPlace, head: FeedPlace): boolean {
  if (commit.seq !== head.seq) return commit.seq < head.seq
  return commit.commitId === undefined || commit.commitId.startsWith(head.head)
}

function isKind<K extends Fact['kind']>(kind: K) {
  return (
    placed: PlacedFact,
  ): placed is PlacedFact & { readonly fact: Extract<Fact, { kind: K }> } =>
    placed.fact.kind === kind
}

/** Groups the facts about members by their ids. */
function collectKnown(
  mesh: string,
  facts: readonly PlacedFact[],
  leadsTo: KnownFacts['leadsTo'],
): KnownFacts {
  const rootKeys = new Map<string, boolean>()
  const isRoot = (publicKey: string): boolean => {
    let known = rootKeys.get(publicKey)
    if (known === undefined) {
      known = meshIdOf(hexToBytes(publicKey)) === mesh
      rootKeys.set(publicKey, known)
    }
    return known
  }
  const certificates = groupById(
    facts.filter(isKind('certificate')),
    ({ fact }) => fact.certificate,
  )
  const revocations = groupById(facts.filter(isKind('revocation')), ({ fact }) => fact.revocation)
  const statements = Map.groupBy(facts.filter(isKind('held')), ({ fact }) => fact.revocation)

  const knownRevocations = new Map<string, KnownRevocation>()
  for (const [id, { value, carriers }] of revocations) {
    knownRevocations.set(id, {
      revocation: value,
      byRoot: isRoot(value.author),
      carriers,
      statements: (statements.get(id) ?? []).map(({ author, fact }) => ({
        author,
        feeds: fact.feeds,
      })),
    })
  }
  const knownCertificates = new Map<string, KnownCertificate>()
  for (const [id, { value, carriers }] of certificates) {
    const byRoot = isRoot(value.issuer)
    const lifts = value.setsAside.filter((revocation) => {
      const known = knownRevocations.get(revocation)
      return (
        known?.revocation.device === value.device &&
        // The root stands above admins, and nobody restores itself.
        (byRoot || (!known.byRoot && value.issuer !== value.device))
      )
    })
    knownCertificates.set(id, { certificate: value, byRoot, carriers, lifts: new Set(lifts) })
  }
  return { certificates: knownCertificates, revocations: knownRevocations, leadsTo }
}

/** In the order of the ids; of several signed forms of one body, the same one whatever the order of the list. */
function groupById<
  P extends PlacedFact,
  T extends { readonly id: string; readonly bytes: Uint8Array },
>(
  placed: readonly P[],
  valueOf: (placed: P) => T,
): Map<string, { readonly value: T; readonly carriers: Carrier[] }> {
  const groups = Map.groupBy(placed, (one) => valueOf(one).id)
  return new Map(
    [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, group]) => {
        const values = group.map(valueOf)
        const value = values.reduce((a, b) => (compareBytes(a.bytes, b.bytes) <= 0 ? a : b))
        const carriers = group.map(({ author, feed, seq, commitId }) => ({
          author,
          feed,
          seq,
          commitId,
        }))
        return [id, { value, carriers: carriers.toSorted(byCommit) }] as const
      }),
  )
}

function byCommit(a: Carrier, b: Carrier): number {
  return (a.commitId ?? '') < (b.commitId ?? '') ? -1 : 1
}

/** Of each device the certificate with the greatest (issued at, id) that sets aside all that speaks against it. */
function standingCertificates(known: KnownFacts, verdict: Verdict): Map<string, Certificate> {
  const standing = new Map<string, Certificate>()
  for (const id of verdict.certificates.keys()) {
    const { certificate, lifts } = known.certificates.get(id)!
    const revocations = verdict.revocationsByDevice.get(certificate.device) ?? []
    if (!revocations.every(({ revocation }) => lifts.has(revocation.id))) continue
    const other = standing.get(certificate.device)
    if (other === undefined || isLater(certificate, other)) {
      standing.set(certificate.device, certificate)
    }
  }
  return standing
}

function isLater(a: Certificate, b: Certificate): boolean {
  return a.issuedAtMs !== b.issuedAtMs ? a.issuedAtMs > b.issuedAtMs : a.id > b.id
}

/** Revocations that count and that no certificate that counts sets aside: what they cut off stays hidden. */
function revocationsInForce(
  known: KnownFacts,
  verdict: Verdict,
): Map<string, readonly KnownRevocation[]> {
  const lifted = new Set<string>()
  for (const id of verdict.certificates.keys()) {
    for (const revocation of known.certificates.get(id)!.lifts) lifted.add(revocation)
  }
  const inForce = new Map<string, readonly KnownRevocation[]>()
  for (const [device, revocations] of verdict.revocationsByDevice) {
    const left = revocations.filter(({ revocation }) => !lifted.has(revocation.id))
    if (left.length > 0) inForce.set(device, left)
  }
  return inForce
}

function membersOf(
  standing: ReadonlyMap<string, Certificate>,
  names: ReadonlyMap<string, Uint8Array>,
): Map<string, Member> {
  return new Map(
    [...standing]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([device, certificate]) => {
        const name = names.get(device)
        return [device, { device, certificate, role: certificate.role, name }] as const
      }),
  )
}

function rootOf(mesh: string, known: KnownFacts, facts: readonly PlacedFact[]): Membership['root'] {
  // Both keys follow from the same recovery words, so that there is one such fact, however often it was said.
  const keys = facts
    .filter(isKind('rootKeys'))
    .map(({ fact }) => fact)
    .filter((fact) => meshIdOf(hexToBytes(fact.publicKey)) === mesh)
    .toSorted((a, b) => compareBytes(a.agreementKey, b.agreementKey))[0]
  if (keys !== undefined) return { publicKey: keys.publicKey, agreementKey: keys.agreementKey }
  const publicKey =
    [...known.certificates.values()].find(({ byRoot }) => byRoot)?.certificate.issuer ??
    [...known.revocations.values()].find(({ byRoot }) => byRoot)?.revocation.author
  return publicKey === undefined ? undefined : { publicKey, agreementKey: undefined }
}

/** @param byAdmins - in the order of time: the last word on a collection stands */
function collectionsOf(byAdmins: readonly PlacedFact[]): Map<string, CollectionFact> {
  const last = new Map<string, CollectionFact>()
  for (const { fact } of byAdmins.filter(isKind('collection'))) last.set(fact.id, fact)
  return new Map(
    [...last].toSorted(([a, { priority: p }], [b, { priority: q }]) => p - q || (a < b ? -1 : 1)),
  )
}

/** @param byAdmins - in the order of time */
function epochsByCollection(byAdmins: readonly PlacedFact[]): Map<string, AnnouncedEpoch[]> {
  const facts = byAdmins.filter(isKind('epoch')).map(({ fact }) => fact)
  const epochs = new Map<string, AnnouncedEpoch[]>()
  for (const [collection, ofCollection] of Map.groupBy(facts, (fact) => fact.collection)) {
    const announced = [...Map.groupBy(ofCollection, ({ epoch }) => epoch)].map(
      ([epoch, announcements]) => ({
        collection,
        epoch,
        depth: Math.min(...announcements.map(({ depth }) => depth)),
        excluded: [...new Set(announcements.flatMap(({ excluded }) => excluded))].toSorted(),
        announcements,
      }),
    )
    epochs.set(
      collection,
      announced.toSorted((a, b) => a.depth - b.depth || (a.epoch < b.epoch ? -1 : 1)),
    )
  }
  return epochs
}

function byTime(a: PlacedFact, b: PlacedFact): number {
  const times = compareTimes(a.time, b.time)
  if (times !== 0) return times
  if (a.commitId !== b.commitId) return a.commitId < b.commitId ? -1 : 1
  return compareBytes(encodeFactBody(a.fact), encodeFactBody(b.fact))
}
