/**
 * Whether this device can be wiped: everything that it holds is known to be elsewhere, with those who know that it goes, and so are the
 * keys. docs/data-model.md, "Safe to wipe".
 */
import { setTimeout as delay } from 'node:timers/promises'

import { bytesToHex } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { FeedChain } from '../feed/chain.ts'
import { beyondReach } from '../feed/coverage.ts'
import type { Membership } from '../identity/membership.ts'
import type { Claim } from '../sync/clock-book.ts'
import { wipeVerdict } from '../sync/wipe-verdict.ts'
import type { WipeVerdict, Witness } from '../sync/wipe-verdict.ts'
import type { WipeAnswer, WipeHolder, WipeLoss, WipeOptions } from './api.ts'
import { segmentNamed } from './chain-lookup.ts'
import { ClaimCheck } from './claim-check.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { rfc3339 } from './system.ts'

const defaultHolders = 2
const maxHolders = 1_000
/** How often is looked whether others have said something new. */
const lookEveryMs = 250

/**
 * Retires this device, and says whether what it holds is safe without it.
 *
 * @param isOver - nobody waits any more
 * @throws HavenError `USAGE`, `NOT_READABLE_YET`
 */
export async function safeToWipe(
  runtime: MeshRuntime,
  { holders = defaultHolders, waitMs = 0 }: WipeOptions,
  isOver: () => boolean = () => false,
): Promise<WipeAnswer> {
  if (!Number.isInteger(holders) || holders < 1 || holders > maxHolders)
    throw new HavenError('USAGE', `Say how many other devices have to hold it: 1 to ${maxHolders}.`)
  await runtime.retire()
  const endMs = performance.now() + waitMs
  let heard = whatIsHeard(runtime)
  let answer = await answerNow(runtime, holders)
  while (!answer.safe && performance.now() < endMs && !isOver()) {
    await delay(lookEveryMs)
    const now = whatIsHeard(runtime)
    if (now === heard || isOver()) continue
    heard = now
    answer = await answerNow(runtime, holders)
  }
  return answer
}

/** Another one when an answer may be another one. */
function whatIsHeard({ driver: { engine }, replica }: MeshRuntime): string {
  const told = [...engine.sessions()].map(({ device, toldMs }) => `${device}:${toldMs}`)
  return [replica.digest, engine.book.gossipDigest(), ...told.toSorted()].join('/')
}

async function answerNow(runtime: MeshRuntime, needed: number): Promise<WipeAnswer> {
  return new WipeCheck(await momentOf(runtime)).answer(needed)
}

/** What is held, heard and known, all of one moment. */
interface Moment {
  readonly runtime: MeshRuntime
  readonly membership: Membership
  readonly chains: ReadonlyMap<string, FeedChain>
  /** Of each other member the newest claim. */
  readonly claims: ReadonlyMap<string, Claim>
  /** Epochs that each announced, as 16 hex digits. */
  readonly epochs: ReadonlyMap<string, readonly string[]>
  readonly unreadFacts: ReadonlySet<string>
}

/** Facts that are held have to be known: whoever holds them may be about to go as well. */
function momentOf(runtime: MeshRuntime): Promise<Moment> {
  return runtime.atRest(() => {
    const { control, driver, replica } = runtime
    const { membership } = control
    const chains = [...replica.chains()].filter(({ segments }) => segments.length > 0)
    const claims = new Map<string, Claim>()
    const epochs = new Map<string, readonly string[]>()
    const unreadFacts = new Set<string>()
    for (const { device } of membership.members()) {
      const [claim] = driver.engine.claims(device)
      if (claim !== undefined) claims.set(device, claim)
      const { announcement } = driver.engine.book.entries.get(device) ?? {}
      epochs.set(device, announcement?.epochs ?? [])
      if (control.hasUnreadFacts(device)) unreadFacts.add(device)
    }
    return {
      runtime,
      membership,
      chains: new Map(chains.map((chain) => [chain.feed, chain])),
      claims,
      epochs,
      unreadFacts,
    }
  })
}

/** A device, and how far its claim covers each segment of each feed. */
interface Checked {
  readonly holder: WipeHolder
  readonly reach: ReadonlyMap<string, readonly number[]>
  /** Absent of one that goes as well. */
  readonly witness: Witness | undefined
}

/** The commit by which this device said that it goes: it has to be known to others, but is nothing to be lost. */
interface Notice {
  readonly feed: string
  readonly segment: number
  readonly seq: number
}

class WipeCheck {
  readonly #moment: Moment
  readonly #check: ClaimCheck
  #notice: Notice | undefined

  constructor(moment: Moment) {
    this.#moment = moment
    const { runtime, chains } = moment
    const chain = (feed: string): FeedChain => chains.get(feed) ?? new FeedChain(feed)
    this.#check = new ClaimCheck({ store: runtime.store, replica: { chain } })
  }

  async answer(needed: number): Promise<WipeAnswer> {
    const { runtime, membership, chains } = this.#moment
    const { control } = runtime
    this.#notice = await this.#findNotice()
    const checked: Checked[] = []
    for (const { device } of membership.members())
      if (device !== control.device) checked.push(await this.#checked(device))
    const verdict = wipeVerdict({
      chains: [...chains.values()],
      witnesses: checked.flatMap(({ witness }) => witness ?? []),
      holders: needed,
      epochs: control.readableEpochs(),
    })
    return {
      safe: verdict.safe && this.#notice !== undefined,
      asOf: this.#asOf(verdict),
      needed,
      devices: checked.map(({ holder }) => holder),
      lost: await this.#losses(verdict, checked),
      lostEpochs: this.#lostEpochs(verdict),
    }
  }

  async #findNotice(): Promise<Notice | undefined> {
    const { runtime, membership, chains } = this.#moment
    const retirement = membership.retirementOf(runtime.control.device)
    const chain = chains.get(retirement?.feed ?? '')
    if (retirement === undefined || chain === undefined) return undefined
    const { feed, seq, commitId } = retirement
    const segment = await segmentNamed(runtime.store, chain, { seq, idPrefix: commitId })
    return segment === undefined ? undefined : { feed, segment, seq }
  }

  async #checked(device: string): Promise<Checked> {
    const { runtime, membership, chains, claims, epochs } = this.#moment
    const claim = claims.get(device)
    const reach = new Map<string, readonly number[]>()
    let lacks = 0
    for (const [feed, chain] of chains) {
      if (claim === undefined) break
      const covered = await this.#check.reach(feed, claim)
      reach.set(feed, covered.reach)
      lacks += this.#worthBeyond(chain, covered.reach)
    }
    const isRetiring = membership.isRetiring(device)
    const isAware = this.#notice !== undefined && !this.#isBeyond(this.#notice, reach)
    const isSure = claim !== undefined && (await this.#showsItsFacts(device, claim))
    let state: WipeHolder['state'] = 'holds'
    if (isRetiring) state = 'retiring'
    else if (claim === undefined) state = 'unheard'
    else if (lacks > 0) state = 'lacks'
    else if (!isAware) state = 'unaware'
    else if (!isSure) state = 'unsure'
    const info = runtime.peers.info(device)
    const announced = new Set(epochs.get(device))
    return {
      holder: {
        device: info,
        state,
        lacks: claim === undefined ? null : lacks,
        reads: runtime.control.readableEpochs().every((epoch) => announced.has(epoch)),
        heard: claim === undefined ? null : rfc3339(this.#heardMs(device, claim)),
      },
      reach,
      witness: isRetiring
        ? undefined
        : {
            device,
            isServer: info.role === 'server',
            counts: isAware && isSure,
            reach,
            epochs: announced,
          },
    }
  }

  /** Whether all is known here that the device had said about itself when it made the claim. */
  async #showsItsFacts(device: string, claim: Claim): Promise<boolean> {
    const { runtime, unreadFacts } = this.#moment
    if (unreadFacts.has(device)) return false
    for (const feed of claim.feeds()) {
      const descriptor = runtime.replica.descriptor(feed)
      // It may be one of its own.
      if (descriptor === undefined) return false
      if (bytesToHex(descriptor.collection) !== runtime.control.meshCollection) continue
      if (bytesToHex(descriptor.device) !== device) continue
      if ((await this.#check.endsOf(feed, claim)) === undefined) return false
    }
    return true
  }

  #heardMs(device: string, { last }: Claim): number {
    const { driver, clock } = this.#moment.runtime
    return driver.engine.sessionWith(device) === undefined ? last.timeMs : clock.nowMs()
  }

  #asOf({ witnesses }: WipeVerdict): string | null {
    const times = witnesses.flatMap((device) => {
      const claim = this.#moment.claims.get(device)
      return claim === undefined ? [] : [this.#heardMs(device, claim)]
    })
    return times.length === 0 ? null : rfc3339(Math.min(...times))
  }

  #isBeyond({ feed, segment, seq }: Notice, reach: Checked['reach']): boolean {
    return (reach.get(feed)?.[segment] ?? 0) < seq
  }

  #worthBeyond(chain: FeedChain, reach: readonly number[]): number {
    const notice = this.#notice
    const isOfNotice =
      notice?.feed === chain.feed && this.#isBeyond(notice, new Map([[chain.feed, reach]]))
    return beyondReach(chain, reach) - (isOfNotice ? 1 : 0)
  }

  async #losses({ safeReach }: WipeVerdict, checked: readonly Checked[]): Promise<WipeLoss[]> {
    const { runtime, chains } = this.#moment
    const feeds = new Map<string, FeedChain[]>()
    for (const [feed, chain] of chains) {
      const descriptor = runtime.replica.descriptor(feed)
      if (descriptor === undefined || this.#worthBeyond(chain, safeReach.get(feed)!) === 0) continue
      const collection = bytesToHex(descriptor.collection)
      feeds.set(collection, [...(feeds.get(collection) ?? []), chain])
    }
    const losses: WipeLoss[] = []
    for (const [collection, ofCollection] of feeds) {
      const commits = ofCollection.reduce(
        (sum, chain) => sum + this.#worthBeyond(chain, safeReach.get(chain.feed)!),
        0,
      )
      losses.push({
        collection: runtime.collectionName(collection),
        commits,
        records: await this.#recordsBeyond(collection, safeReach),
        heldBy: checked
          .map(({ holder, reach }) => ({
            device: holder.device,
            commits: commits - this.#lackedBy(reach, ofCollection, safeReach),
          }))
          .filter((each) => each.commits > 0),
      })
    }
    return losses.toSorted((a, b) => compareNames(a.collection, b.collection))
  }

  /** Of the commits that are not safe, those that a device is not known to hold either. */
  #lackedBy(
    reach: Checked['reach'],
    chains: readonly FeedChain[],
    safeReach: WipeVerdict['safeReach'],
  ): number {
    return chains.reduce((sum, chain) => {
      const safe = safeReach.get(chain.feed)!
      const theirs = reach.get(chain.feed)
      const both = safe.map((seq, at) => Math.max(seq, theirs?.[at] ?? 0))
      return sum + this.#worthBeyond(chain, both)
    }, 0)
  }

  async #recordsBeyond(
    collectionId: string,
    safeReach: WipeVerdict['safeReach'],
  ): Promise<number | null> {
    const { runtime, chains } = this.#moment
    const { control, integrator } = runtime
    if (control.carriesOnly || collectionId === control.meshCollection) return null
    const collection = await integrator.collection(collectionId)
    const safeUpTo = new Map<string, number>()
    for (const [feed, reach] of safeReach) {
      const chain = chains.get(feed)!
      for (const [at, seq] of reach.entries()) safeUpTo.set(chain.writerOf(at), seq)
    }
    let records = 0
    for await (const { writers } of collection.allStates()) {
      const isBeyond = [...writers.values()].some(
        ({ writer, lastSeq }) => lastSeq > (safeUpTo.get(writer) ?? 0),
      )
      if (isBeyond) records++
    }
    return records
  }

  #lostEpochs({ lostEpochs }: WipeVerdict): WipeAnswer['lostEpochs'] {
    const { runtime } = this.#moment
    return runtime.control.heldKeys().flatMap(({ collection, key }) => {
      const epoch = runtime.control.epochOf(key)
      if (!lostEpochs.includes(epoch.slice(0, 16))) return []
      return [{ collection: runtime.collectionName(collection), epoch }]
    })
  }
}

/** What has no name of its own comes last. */
function compareNames(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null)
  return a < b ? -1 : Number(a > b)
}
