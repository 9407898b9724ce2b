import type { BudgetSetting, BudgetStatus, BridgeStatus } from '../device/api.ts'
import { bytesText, durationText } from './amounts.ts'
import { usage } from './failure.ts'
import { parseBytes } from './size.ts'

/** Kept for what is urgent, unless something else is said. */
const urgentShare = 0.1

/**
 * A budget as people write it: `50MB/day`, `2GB/month`; `off` for none.
 *
 * @param urgent - a size; default: a tenth
 * @throws HavenError `USAGE`
 */
export function parseBudget(text: string, urgent: string | undefined): BudgetSetting | null {
  if (text === 'off') {
    if (urgent !== undefined) throw usage('Without a budget nothing is kept for what is urgent.')
    return null
  }
  const [size = '', per, ...rest] = text.split('/')
  if ((per !== 'day' && per !== 'month') || rest.length > 0)
    throw usage(`"${text}" is not a budget: write 50MB/day, 2GB/month or off.`)
  const bytes = parseBytes(size)
  const urgentBytes = urgent === undefined ? Math.floor(bytes * urgentShare) : parseBytes(urgent)
  if (urgentBytes >= bytes)
    throw usage('What is kept for urgent commits is less than the whole budget.')
  return { bytes, per, urgentBytes }
}

/** A budget, and how it stands. */
export function budgetText({ budget, carried }: BridgeStatus, nowMs: number): string {
  const used = `Uplinks have carried ${bytesText(carried.day)} today and ${bytesText(carried.month)} this month (by UTC).`
  return budget === null ? `There is no budget. ${used}` : `${budgetLine(budget, nowMs)}\n${used}`
}

/** `0.9 MB of today's 50 MB left, 5 MB of them only for what is urgent; all of it again in 3 hours.` */
export function budgetLine(budget: BudgetStatus, nowMs: number): string {
  const { bytes, per, urgentBytes, state, leftBytes, until } = budget
  const whole = `${per === 'day' ? "today's" : "this month's"} ${bytesText(bytes)}`
  const again = `all of it again in ${durationText(Math.max(0, Date.parse(until) - nowMs))}`
  if (state === 'used') return `Budget: ${whole} are used up, and servers are left alone; ${again}.`
  const left = `Budget: ${bytesText(leftBytes)} of ${whole} left`
  return state === 'urgent'
    ? `${left}, for what is urgent only; ${again}.`
    : `${left}, ${bytesText(urgentBytes)} of them for what is urgent; ${again}.`
}
