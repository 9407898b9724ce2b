/** Amounts as people write them in scenarios, each parsed once into whole units. */
import { z } from 'zod'

const durations = {
  us: 1,
  ms: 1e3,
  s: 1e6,
  m: 60e6,
  min: 60e6,
  h: 3_600e6,
  d: 86_400e6,
  w: 604_800e6,
}
const rates = { 'bit/s': 1, 'kbit/s': 1e3, 'Mbit/s': 1e6, 'Gbit/s': 1e9 }
const sizes = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }

/** `90s`, `20m`, `1.5h`, `7d`: microseconds. */
export const duration = amount(durations, 'a duration such as 90s, 20m, 1.5h or 7d')

/** The same, before or after: `-2h`. */
export const shift = amount(durations, 'a duration such as 90s or -2h', true)

/** `64kbit/s`, `20Mbit/s`, `unlimited`: bytes per second. */
export const bandwidth = z
  .union([z.literal('unlimited'), amount(rates, 'a rate such as 64kbit/s, 20Mbit/s or unlimited')])
  .transform((bits) => (bits === 'unlimited' ? Infinity : Math.max(1, Math.round(bits / 8))))

/** `300B`, `2kB`: bytes. */
export const size = z.union([
  z.int().nonnegative(),
  amount(sizes, 'a size such as 300B, 2kB or 5MB'),
])

/** `12/d`, `0.5/h`: of something, in an hour. */
export const perTime = z.string().transform((text, context) => {
  const [, count, unit] = /^(\d+(?:\.\d+)?)\/(s|m|min|h|d|w)$/.exec(text) ?? []
  if (count === undefined || unit === undefined) {
    context.addIssue({ code: 'custom', message: `"${text}" is no rate such as 12/d or 0.5/h` })
    return z.NEVER
  }
  return (Number(count) * durations.h) / durations[unit as keyof typeof durations]
})

/** From 0 to 1. */
export const share = z.number().min(0).max(1)

function amount(units: Readonly<Record<string, number>>, what: string, signed = false) {
  return z.string().transform((text, context) => {
    const [, sign, count, unit = ''] = /^(-?)(\d+(?:\.\d+)?)\s?(\S+)$/.exec(text) ?? []
    const factor = units[unit]
    if (count === undefined || factor === undefined || (sign === '-' && !signed)) {
      context.addIssue({ code: 'custom', message: `"${text}" is not ${what}` })
      return z.NEVER
    }
    return Math.round(Number(count) * factor) * (sign === '-' ? -1 : 1)
  })
}
