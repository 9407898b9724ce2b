/**
 * Which certificates and revocations count (docs/protocol.md, What the facts mean).
 *
 * More revocations hide more commits, so that fewer revocations count: the rules refer to themselves, negatively. They
 * are read as a logic program under the well-founded semantics (Van Gelder, Ross, Schlipf 1991): what counts under
 * every reading counts, what counts under none does not, and only what lies in a circle, as when two admins remove
 * each other at the same time, is decided by the lowest id. That is a function of the set of facts, whatever their order.
 */
import type { Certificate } from './certificate.ts'
import type { FeedPlace } from './feed-place.ts'
import type { Revocation } from './revocation.ts'

/** A commit, as the place from which a fact comes. */
export interface CommitPlace {
  readonly feed: string
  readonly seq: number
  /** 32 bytes in hex; undefined: not said, only its place counts. */
  readonly commitId: string | undefined
}

/** A commit that brings a fact, and the device that signed it. */
export interface Carrier extends CommitPlace {
  readonly author: string
}

export interface KnownCertificate {
  readonly certificate: Certificate
  readonly byRoot: boolean
  readonly carriers: readonly Carrier[]
  /** The revocations that it really sets aside, if it counts. */
  readonly lifts: ReadonlySet<string>
}

export interface KnownRevocation {
  readonly revocation: Revocation
  readonly byRoot: boolean
  readonly carriers: readonly Carrier[]
  readonly statements: readonly { readonly author: string; readonly feeds: readonly FeedPlace[] }[]
}

/** Verified facts, each named by its id, in the order of the ids. */
export interface KnownFacts {
  readonly certificates: ReadonlyMap<string, KnownCertificate>
  readonly revocations: ReadonlyMap<string, KnownRevocation>
  /** Whether a commit is `head` or lies before it in its chain. */
  readonly leadsTo: (commit: CommitPlace, head: FeedPlace) => boolean
}

export interface Verdict {
  /** Certificates that count, each with the id of the issuer's certificate; undefined: issued by the root. */
  readonly certificates: ReadonlyMap<string, string | undefined>
  /** Revocations that count, by the device that they name. */
  readonly revocationsByDevice: ReadonlyMap<string, readonly KnownRevocation[]>
  /** Whether a commit lies within the cut of a revocation that counts. */
  isWithin(commit: CommitPlace, revocation: string): boolean
  /** The heads up to which a revocation that counts leaves a feed alone, without repetition. */
  cut(revocation: string, feed: string): readonly FeedPlace[]
  /** Whether the device was an admin when it wrote this commit. */
  isByAdmin(carrier: Carrier): boolean
}

export function judge(facts: KnownFacts): Verdict {
  return verdictUnder(facts, countingRevocations(facts))
}

/** Circles of more revocations than this are taken as one, to bound what admins at war can make others compute. */
const circleMax = 32

function countingRevocations(facts: KnownFacts): ReadonlySet<string> {
  let decided: ReadonlySet<string> = new Set()
  if (facts.revocations.size === 0) return decided
  // Each turn decides at least one more revocation.
  for (;;) {
    const { certain, possible } = bounds(facts, decided)
    if (certain.size === possible.size) return certain
    const open = [...possible].filter((id) => !certain.has(id)).toSorted()
    decided = new Set([...certain, ...firstOfCircles(facts, certain, open)])
  }
}

/** The alternating fixpoint: revocations that count under every reading, and those that count under some. */
function bounds(facts: KnownFacts, decided: ReadonlySet<string>) {
  let certain = decided
  let possible = allowedBy(facts, certain, decided)
  for (;;) {
    const more = allowedBy(facts, possible, decided)
    const fewer = allowedBy(facts, more, decided)
    // Both only ever move towards each other.
    if (more.size === certain.size && fewer.size === possible.size) return { certain, possible }
    certain = more
    possible = fewer
  }
}

/** The revocations that count if exactly those assumed do. */
function allowedBy(
  facts: KnownFacts,
  assumed: ReadonlySet<string>,
  decided: ReadonlySet<string>,
): ReadonlySet<string> {
  const verdict = new Evaluation(facts, assumed)
  const allowed = new Set(decided)
  for (const [id, known] of facts.revocations) if (verdict.allows(known)) allowed.add(id)
  return allowed
}

/**
 * Of every circle of revocations that rule each other out, and that nothing else undecided rules out, the one with the
 * lowest id. (The root's are never undecided.)
 *
 * @param open - sorted, not empty
 */
function firstOfCircles(
  facts: KnownFacts,
  certain: ReadonlySet<string>,
  open: readonly string[],
): string[] {
  if (open.length > circleMax) return open.slice(0, 1)
  const rulesOut = new Map(
    open.map((id) => {
      const allowed = allowedBy(facts, new Set([...certain, id]), certain)
      return [id, open.filter((other) => !allowed.has(other))] as const
    }),
  )
  const reachable = new Map(open.map((id) => [id, reach(id, rulesOut)] as const))
  const reaches = (from: string, to: string) => reachable.get(from)!.has(to)
  const first = open.filter(
    (id) =>
      reaches(id, id) &&
      open.every((other) => !reaches(other, id) || (reaches(id, other) && other >= id)),
  )
  return first.length > 0 ? first : open.slice(0, 1)
}

function reach(from: string, next: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const waiting = [...next.get(from)!]
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (reached.has(id)) continue
    reached.add(id)
    waiting.push(...next.get(id)!)
  }
  return reached
}

function verdictUnder(facts: KnownFacts, counting: ReadonlySet<string>): Verdict {
  const evaluation = new Evaluation(facts, counting)
  return {
    certificates: evaluation.certificates,
    revocationsByDevice: evaluation.revocationsByDevice,
    isWithin: (commit, revocation) => evaluation.isWithin(commit, revocation),
    cut: (revocation, feed) => evaluation.cut(revocation, feed),
    isByAdmin: (carrier) => evaluation.adminCertificateFor(carrier) !== undefined,
  }
}

/**
 * What follows if a given set of revocations counts: the least set of certificates that support each other from the
 * root down, and the cuts that their holders' statements make.
 */
class Evaluation {
  readonly certificates = new Map<string, string | undefined>()
  readonly revocationsByDevice = new Map<string, KnownRevocation[]>()
  readonly #facts: KnownFacts
  readonly #countingByDevice = new Map<string, KnownCertificate[]>()
  /** Those with the shortest chain to the root first, then by id. */
  readonly #adminByDevice = new Map<string, KnownCertificate[]>()
  #cuts: Map<string, Map<string, FeedPlace[]>>

  constructor(facts: KnownFacts, counting: ReadonlySet<string>) {
    this.#facts = facts
    for (const id of counting) {
      const known = facts.revocations.get(id)!
      append(this.revocationsByDevice, known.revocation.device, known)
    }
    for (const list of this.revocationsByDevice.values()) list.sort(byRevocationId)
    this.#cuts = this.#computeCuts()
    let pending = [...facts.certificates.values()]
    for (;;) {
      // Judged by the certificates of earlier rounds only: a chain is then as short as it can be, and has no circle.
      const supported = new Map<KnownCertificate, string | undefined>()
      for (const known of pending) {
        const support = this.#supportOf(known)
        if (support !== 'none') supported.set(known, support?.certificate.id)
      }
      if (supported.size === 0) return
      for (const [known, issuerCertificate] of supported) this.#accept(known, issuerCertificate)
      pending = pending.filter((known) => !supported.has(known))
      // More members: more statements, later cuts, and perhaps more certificates.
      this.#cuts = this.#computeCuts()
    }
  }

  allows(known: KnownRevocation): boolean {
    if (known.byRoot) return true
    const { author } = known.revocation
    return known.carriers.some(
      (carrier) =>
        carrier.author === author && this.adminCertificateFor(carrier, known) !== undefined,
    )
  }

  isWithin(commit: CommitPlace, revocation: string): boolean {
    return this.cut(revocation, commit.feed).some((place) => this.#facts.leadsTo(commit, place))
  }

  cut(revocation: string, feed: string): readonly FeedPlace[] {
    return this.#cuts.get(revocation)?.get(feed) ?? []
  }

  /**
   * The certificate by which the author was an admin when it wrote this commit: each revocation of the author came
   * later, or was known to the issuer and set aside by this very certificate.
   *
   * @param except - a revocation is not judged by itself: an admin may remove its own device
   */
  adminCertificateFor(carrier: Carrier, except?: KnownRevocation): KnownCertificate | undefined {
    const revocations = this.revocationsByDevice.get(carrier.author)
    return this.#adminByDevice
      .get(carrier.author)
      ?.find((admin) =>
        (revocations ?? []).every(
          (known) =>
            known === except ||
            admin.lifts.has(known.revocation.id) ||
            this.isWithin(carrier, known.revocation.id),
        ),
      )
  }

  /** @returns the issuer's certificate; undefined: the root's word; none: it does not count */
  #supportOf({ certificate, byRoot, carriers }: KnownCertificate) {
    if (byRoot) return undefined
    // Making a removed device an admin again is the root's.
    if (certificate.role === 'admin' && certificate.setsAside.length > 0) return 'none'
    for (const carrier of carriers) {
      if (carrier.author !== certificate.issuer) continue
      const support = this.adminCertificateFor(carrier)
      if (support !== undefined) return support
    }
    return 'none'
  }

  #accept(known: KnownCertificate, issuerCertificate: string | undefined): void {
    const { id, device, role } = known.certificate
    this.certificates.set(id, issuerCertificate)
    append(this.#countingByDevice, device, known)
    if (role === 'admin') append(this.#adminByDevice, device, known)
  }

  /** For each revocation and feed: the heads that its author knew, and those that members state that they held. */
  #computeCuts(): Map<string, Map<string, FeedPlace[]>> {
    const cuts = new Map<string, Map<string, FeedPlace[]>>()
    for (const { revocation, statements } of [...this.revocationsByDevice.values()].flat()) {
      const stated = statements.filter(({ author }) => this.#isMember(author))
      const places = new Map<string, FeedPlace>()
      for (const place of [...revocation.heads, ...stated.flatMap(({ feeds }) => feeds)]) {
        places.set(`${place.feed} ${place.seq} ${place.head}`, place)
      }
      const sorted = [...places].toSorted(([a], [b]) => (a < b ? -1 : 1))
      cuts.set(
        revocation.id,
        Map.groupBy(
          sorted.map(([, place]) => place),
          ({ feed }) => feed,
        ),
      )
    }
    return cuts
  }

  #isMember(device: string): boolean {
    const revocations = this.revocationsByDevice.get(device)
    const certificates = this.#countingByDevice.get(device) ?? []
    if (revocations === undefined) return certificates.length > 0
    return certificates.some(({ lifts }) => revocations.every((r) => lifts.has(r.revocation.id)))
  }
}

function byRevocationId(a: KnownRevocation, b: KnownRevocation): number {
  return a.revocation.id < b.revocation.id ? -1 : 1
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
