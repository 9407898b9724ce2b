/** How much uplinks may carry in a day or a month, and how much of it is left. Days and months are those of UTC: the same on all devices of a camp, and none is longer. */

export interface DataBudget {
  /** Both ways together. */
  readonly bytes: number
  readonly per: 'day' | 'month'
  /** Of these, what is kept for control facts and urgent commits. */
  readonly urgentBytes: number
}

/** `open`: everything may go; `urgent`: only what the reserve is for; `used`: nothing. */
export type BudgetState = 'open' | 'urgent' | 'used'

export interface BudgetLeft {
  readonly state: BudgetState
  readonly usedBytes: number
  readonly leftBytes: number
  /** For what is not urgent. */
  readonly openBytes: number
  /** Of the day or month. */
  readonly sinceMs: number
  /** When all of it is there again. */
  readonly untilMs: number
}

/** Less is not worth beginning with: commits go in runs. */
const leastOpenBytes = 16 * 1024

export function budgetLeft(budget: DataBudget, usedBytes: number, nowMs: number): BudgetLeft {
  const leftBytes = Math.max(0, budget.bytes - usedBytes)
  const openBytes = Math.max(0, leftBytes - budget.urgentBytes)
  const isOpen = openBytes >= Math.min(leastOpenBytes, (budget.bytes - budget.urgentBytes) / 2)
  const state = leftBytes === 0 ? 'used' : isOpen && openBytes > 0 ? 'open' : 'urgent'
  return {
    state,
    usedBytes,
    leftBytes,
    openBytes: state === 'open' ? openBytes : 0,
    sinceMs: startOf(budget.per, nowMs),
    untilMs: endOf(budget.per, nowMs),
  }
}

export function startOf(per: DataBudget['per'], nowMs: number): number {
  const date = new Date(nowMs)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), per === 'day' ? date.getUTCDate() : 1)
}

function endOf(per: DataBudget['per'], nowMs: number): number {
  const date = new Date(nowMs)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  return per === 'day' ? Date.UTC(year, month, date.getUTCDate() + 1) : Date.UTC(year, month + 1)
}
