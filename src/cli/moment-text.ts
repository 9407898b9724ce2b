import { durationText } from './amounts.ts'
import { dateAndTime, timeOfDay } from './printable.ts'

/** `now`, `09:12`, `2 days ago`, by the local clock. */
export function momentText(time: string, nowMs: number): string {
  const agoMs = nowMs - Date.parse(time)
  if (Math.abs(agoMs) < 60_000) return 'now'
  if (agoMs < 0) return dateAndTime(time)
  return isToday(time, nowMs) ? timeOfDay(time).slice(0, 5) : `${durationText(agoMs)} ago`
}

/** `09:12`, or with the day where that is another one. */
export function timeText(time: string, nowMs: number): string {
  return isToday(time, nowMs) ? timeOfDay(time).slice(0, 5) : dateAndTime(time)
}

function isToday(time: string, nowMs: number): boolean {
  return new Date(time).toDateString() === new Date(nowMs).toDateString()
}
