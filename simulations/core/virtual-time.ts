/**
 * Virtual time: whole microseconds since the start of a run, moving from event to event. Events of the same moment run in the order in which
 * they were asked for.
 */

export interface Cancel {
  (): void
}

interface Event {
  readonly atUs: number
  readonly order: number
  /** undefined: cancelled. */
  run: (() => void) | undefined
}

/** Node's own, before anything is trapped: it stands outside of what is simulated. */
const realSetImmediate = setImmediate

export class VirtualTime {
  #nowUs = 0
  #order = 0
  #events = 0
  #hasBegun = false
  readonly #heap: Event[] = []

  get nowUs(): number {
    return this.#nowUs
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** How many events have run. */
  get eventCount(): number {
    return this.#events
  }

  /** @param atUs - not before now */
  at(atUs: number, run: () => void): Cancel {
    if (!Number.isSafeInteger(atUs) || atUs < this.#nowUs)
      throw new RangeError(`${atUs} µs is no time to come: it is ${this.#nowUs} µs`)
    const event: Event = { atUs, order: this.#order++, run }
    this.#push(event)
    return () => {
      event.run = undefined
    }
  }

  after(delayUs: number, run: () => void): Cancel {
    return this.at(this.#nowUs + Math.max(0, Math.ceil(delayUs)), run)
  }

  /**
   * Runs what happens until a moment, that moment included. After each event everything that it has started comes to rest, promises included,
   * before time goes on.
   *
   * @param atRest - called after each event
   */
  async runUntil(endUs: number, atRest: () => void = () => {}): Promise<void> {
    await rest()
    this.#hasBegun = true
    for (let next = this.#heap[0]; next !== undefined && next.atUs <= endUs; next = this.#heap[0]) {
      this.#pop()
      const { run } = next
      if (run === undefined) continue
      this.#nowUs = next.atUs
      this.#events++
      run()
      await rest()
      atRest()
    }
    this.#nowUs = endUs
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)
}

/** All promises that can go on have gone on. Whatever waits for a thread or a socket would not have: nothing in a run may. */
export function rest(): Promise<void> {
  return new Promise((resolve) => {
    realSetImmediate(resolve)
  })
}
