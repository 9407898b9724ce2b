import type { Clock, Timers } from '../../../src/core/environment.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** Time that moves from event to event. Between two events everything that was started, promises included, comes to rest. */
export class VirtualTime implements Clock, Timers {
  #nowMs = Date.UTC(2026, 0, 1)
  #order = 0
  readonly #events: Event[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): () => void {
    const event = {
      atMs: this.#nowMs + Math.ceil(Math.max(0, delayMs)),
      order: this.#order++,
      run,
      cancelled: false,
    }
    let at = this.#events.length
    while (at > 0 && isAfter(this.#events[at - 1]!, event)) at--
    this.#events.splice(at, 0, event)
    return () => {
      event.cancelled = true
    }
  }

  /** @param check - called after each event, when all is at rest */
  async run(forMs: number, check: () => void): Promise<void> {
    const endMs = this.#nowMs + forMs
    await rest()
    check()
    for (
      let event = this.#events[0];
      event !== undefined && event.atMs <= endMs;
      event = this.#events[0]
    ) {
      this.#events.shift()
      if (event.cancelled) continue
      this.#nowMs = Math.max(this.#nowMs, event.atMs)
      event.run()
      await rest()
      check()
    }
    this.#nowMs = endMs
  }
}

function isAfter(a: Event, b: Event): boolean {
  return a.atMs > b.atMs || (a.atMs === b.atMs && a.order > b.order)
}

/** All promises that can go on have gone on. */
function rest(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
