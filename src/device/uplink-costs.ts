/** What uplinks cost: counted, bounded by a budget if there is one, and measured, to say how long what waits will take. */
import { callIntervalMs, CallPace } from '../bridge/call-pace.ts'
import type { BudgetLeft, BudgetState, DataBudget } from '../bridge/data-budget.ts'
import { LinkMeter } from '../bridge/link-meter.ts'
import type { Clock } from '../core/environment.ts'
import { limits } from '../core/limits.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import { DataUse } from './data-use.ts'
import { LinkRates } from './link-rates.ts'

export class UplinkCosts {
  readonly meter = new LinkMeter()
  readonly rates: LinkRates
  readonly #use: DataUse
  readonly #clock: Clock
  readonly #pace: CallPace
  #state: BudgetState

  private constructor(clock: Clock, use: DataUse, rates: LinkRates) {
    this.rates = rates
    this.#use = use
    this.#clock = clock
    this.#pace = new CallPace(clock.nowMs())
    this.#state = this.#stateNow()
  }

  static async open(store: CommitStore, clock: Clock): Promise<UplinkCosts> {
    return new UplinkCosts(clock, await DataUse.load(store), await LinkRates.load(store))
  }

  get budget(): DataBudget | undefined {
    return this.#use.budget
  }

  get left(): BudgetLeft | undefined {
    return this.#use.left(this.#clock.nowMs())
  }

  /** As it was counted last. */
  get state(): BudgetState {
    return this.#state
  }

  usedBytes(per: DataBudget['per']): number {
    return this.#use.usedBytes(per, this.#clock.nowMs())
  }

  /** Durable when it resolves. */
  async setBudget(budget: DataBudget | undefined): Promise<void> {
    await this.#use.setBudget(budget)
    this.#state = this.#stateNow()
  }

  /**
   * To be called every second while there are uplinks.
   *
   * @returns whether something else may go now than before
   */
  async count(): Promise<boolean> {
    const { inBytes, outBytes, connections } = this.meter.take()
    this.#paceMs(connections)
    const before = this.#state
    const saved = this.#use.carried(inBytes + outBytes, this.#clock.nowMs())
    this.#state = this.#stateNow()
    await saved
    return this.#state !== before
  }

  /** Of commits that are not urgent, what may go one way now: what is left is for both, and nobody knows which will need it. */
  get openBytes(): number {
    const { left } = this
    if (left === undefined) return Infinity
    return Math.max(0, Math.floor((left.openBytes - this.meter.uncountedBytes) / 2))
  }

  get roomBytes(): number {
    return Math.min(limits.windowMaxBytes, this.openBytes)
  }

  /** How long to wait before a server is called again. */
  readonly paceMs = (): number => this.#paceMs(0)

  /** How long to stay away from a server that nothing urgent is waiting for. */
  get restMs(): number {
    return callIntervalMs(this.#forCalls ?? { bytes: Infinity, ofMs: 0 })
  }

  async save(): Promise<void> {
    await this.#use.save()
    await this.rates.save()
  }

  get #forCalls(): { bytes: number; ofMs: number } | undefined {
    const { left } = this
    return left && { bytes: left.openBytes || left.leftBytes, ofMs: left.untilMs - left.sinceMs }
  }

  #paceMs(connections: number): number {
    return this.#pace.waitMs(connections, this.#forCalls, this.#clock.nowMs())
  }

  #stateNow(): BudgetState {
    return this.left?.state ?? 'open'
  }
}
