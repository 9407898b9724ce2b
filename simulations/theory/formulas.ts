/**
 * What theory says of meetings by chance: n devices, each pair meets at the points of a Poisson process of rate λ, contacts take no time and carry
 * anything. N = n − 1. Groenevelt, Nain, Koole, Performance Evaluation 62 (2005) 210–228; the sums follow from the stages, each of them exponential.
 */

export interface Moments {
  readonly mean: number
  readonly sd: number
}

/** The source meets the destination itself. */
export function directDelivery(rate: number): Moments {
  return { mean: 1 / rate, sd: 1 / rate }
}

/** Everybody who has it passes it on, until one destination has it: at that moment the number of those who have it is uniform on 1..N. */
export function epidemicDelivery(n: number, rate: number): Moments {
  const N = n - 1
  let [mean, square] = [0, 0]
  for (let copies = 1; copies <= N; copies++) {
    let [stageMean, stageVariance] = [0, 0]
    for (let i = 1; i <= copies; i++) {
      const stage = 1 / (rate * i * (N + 1 - i))
      stageMean += stage
      stageVariance += stage * stage
    }
    mean += stageMean / N
    square += (stageVariance + stageMean * stageMean) / N
  }
  return { mean, sd: Math.sqrt(square - mean * mean) }
}

/** Until all have it. */
export function epidemicToAll(n: number, rate: number): Moments {
  let [mean, variance] = [0, 0]
  for (let i = 1; i < n; i++) {
    const stage = 1 / (rate * i * (n - i))
    mean += stage
    variance += stage * stage
  }
  return { mean, sd: Math.sqrt(variance) }
}

/** The source gives it to everybody it meets, who give it to the destination alone. */
export function twoHopDelivery(n: number, rate: number): number {
  const N = n - 1
  let sum = 0
  // (N−1)! / ((N−i)! Nⁱ), from i = 1 on.
  let share = 1 / N
  for (let i = 1; i <= N; i++) {
    sum += i * i * share
    share *= (N - i) / N
  }
  return sum / (rate * N)
}

/** The source gives L − 1 copies away, and all L wait for the destination. */
export function sourceSprayDelivery(n: number, rate: number, copies: number): number {
  const N = n - 1
  let expected = 1 / (rate * copies)
  for (let i = copies - 1; i >= 1; i--) expected = (1 + rate * (N - i) * expected) / (rate * N)
  return expected
}

/** Two camps of a and b devices, rate `inside` a camp and `across`: from one device of the first until all have it. */
export function twoCamps(a: number, b: number, inside: number, across: number): number {
  const expected: number[][] = Array.from({ length: a + 1 }, () =>
    Array.from({ length: b + 1 }, () => 0),
  )
  for (let i = a; i >= 1; i--) {
    for (let j = b; j >= 0; j--) {
      if (i === a && j === b) continue
      const up = (a - i) * (inside * i + across * j)
      const down = (b - j) * (inside * j + across * i)
      const after =
        (i < a ? up * expected[i + 1]![j]! : 0) + (j < b ? down * expected[i]![j + 1]! : 0)
      expected[i]![j] = (1 + after) / (up + down)
    }
  }
  return expected[1]![0]!
}

/** A mule that stays `dwell` at either end and travels for `travel`: of what is written at a uniform time at the one, at the other. */
export function muleDelivery(dwell: number, travel: number): { mean: number; max: number } {
  const cycle = 2 * (dwell + travel)
  return { mean: travel + cycle / 2, max: cycle + travel }
}

/** A way out that is there for `window` of every `period`: the wait of what is written at a uniform time. */
export function uplinkWait(window: number, period: number): number {
  return ((period - window) * (period - window)) / (2 * period)
}

/** Age of one writer's data at one other device, in the long run: the law of the delay of the epidemic, with time running back. */
export function staleness(n: number, rate: number): number {
  return epidemicDelivery(n, rate).mean
}
