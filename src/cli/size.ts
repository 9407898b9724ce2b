import { usage } from './failure.ts'

const bytesByUnit: Record<string, number> = { kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }

/**
 * A size as people write it: `500MB`, `20GB`, in powers of ten.
 *
 * @throws HavenError `USAGE`
 */
export function parseBytes(text: string): number {
  const [, count, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(kB|MB|GB|TB)$/.exec(text) ?? []
  if (count === undefined || unit === undefined)
    throw usage(`"${text}" is not a size: write 500MB, 20GB or 1.5TB.`)
  return Math.floor(Number(count) * bytesByUnit[unit]!)
}
