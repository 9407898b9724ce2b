/** Amounts as people read them. */

/** In the largest unit that leaves at least one of it: `1 second`, `10 minutes`, `7 days`. */
export function durationText(ms: number): string {
  if (ms >= 86_400_000) return countText(Math.floor(ms / 86_400_000), 'day')
  if (ms >= 3_600_000) return countText(Math.floor(ms / 3_600_000), 'hour')
  if (ms >= 60_000) return countText(Math.floor(ms / 60_000), 'minute')
  return countText(Math.floor(ms / 1_000), 'second')
}

/** `1 commit`, `1,234 commits`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** In powers of ten, as network equipment counts: `820 B`, `61 kB`, `1.4 MB`, `20 GB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(bytes < 1e4 ? 1 : 0)} kB`
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`
}
