/**
 * What uplinks of this device have carried today and this month, and what they may. It is kept over restarts, and written seldom: a crash
 * forgets at most a hundredth of the budget, and never more than a megabyte.
 */
import { budgetLeft, startOf } from '../bridge/data-budget.ts'
import type { BudgetLeft, DataBudget } from '../bridge/data-budget.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { CommitStore } from '../feed/commit-store.ts'

const budgetName = 'bridge/budget'
const usedName = 'bridge/used'
const version = 1
const forgottenMaxBytes = 1_000_000

interface Period {
  startMs: number
  bytes: number
}

export class DataUse {
  readonly #store: CommitStore
  #budget: DataBudget | undefined
  readonly #periods: Readonly<Record<DataBudget['per'], Period>>
  #unsavedBytes = 0

  private constructor(
    store: CommitStore,
    budget: DataBudget | undefined,
    day: Period,
    month: Period,
  ) {
    this.#store = store
    this.#budget = budget
    this.#periods = { day, month }
  }

  static async load(store: CommitStore): Promise<DataUse> {
    const budget = await store.secret(budgetName)
    const used = await store.meta(usedName)
    const reader = used === undefined ? undefined : new ByteReader(used, 'use of data')
    if (reader !== undefined && reader.u8() !== version) reader.fail('an unknown version')
    const period = (): Period => ({ startMs: reader?.u64() ?? 0, bytes: reader?.u64() ?? 0 })
    const day = period()
    return new DataUse(
      store,
      budget === undefined ? undefined : decodeBudget(budget),
      day,
      period(),
    )
  }

  get budget(): DataBudget | undefined {
    return this.#budget
  }

  /** Durable when it resolves. What was carried before counts. */
  async setBudget(budget: DataBudget | undefined): Promise<void> {
    this.#budget = budget
    const value = budget === undefined ? undefined : encodeBudget(budget)
    await this.#store.batch([{ kind: 'secret', name: budgetName, value }, this.#change()])
  }

  /** Uplinks have carried so much. Resolves when what is to be kept has been written. */
  async carried(bytes: number, nowMs: number): Promise<void> {
    for (const per of ['day', 'month'] as const) this.#turn(per, nowMs).bytes += bytes
    this.#unsavedBytes += bytes
    const keepBytes = Math.min(forgottenMaxBytes, (this.#budget?.bytes ?? Infinity) / 100)
    if (this.#unsavedBytes >= keepBytes) await this.save()
  }

  async save(): Promise<void> {
    if (this.#unsavedBytes === 0) return
    this.#unsavedBytes = 0
    await this.#store.batch([this.#change()])
  }

  usedBytes(per: DataBudget['per'], nowMs: number): number {
    return this.#turn(per, nowMs).bytes
  }

  /** Undefined: there is no budget. */
  left(nowMs: number): BudgetLeft | undefined {
    const budget = this.#budget
    return budget && budgetLeft(budget, this.usedBytes(budget.per, nowMs), nowMs)
  }

  /** A new day begins with nothing; a clock that is put back to an earlier one does not renew it. */
  #turn(per: DataBudget['per'], nowMs: number): Period {
    const period = this.#periods[per]
    const startMs = startOf(per, nowMs)
    if (startMs > period.startMs) period.bytes = 0
    period.startMs = startMs
    return period
  }

  #change() {
    const writer = new ByteWriter(33).u8(version)
    for (const { startMs, bytes } of [this.#periods.day, this.#periods.month])
      writer.u64(Math.max(0, startMs)).u64(bytes)
    return { kind: 'meta', name: usedName, value: writer.finish() } as const
  }
}

function encodeBudget({ bytes, per, urgentBytes }: DataBudget): Uint8Array {
  const unit = per === 'day' ? 0 : 1
  return new ByteWriter(18).u8(version).u8(unit).u64(bytes).u64(urgentBytes).finish()
}

function decodeBudget(value: Uint8Array): DataBudget {
  const reader = new ByteReader(value, 'budget')
  if (reader.u8() !== version) reader.fail('an unknown version')
  const per = reader.u8() === 0 ? 'day' : 'month'
  return { per, bytes: reader.u64(), urgentBytes: reader.u64() }
}
