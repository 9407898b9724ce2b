/** Counts who comes how often, so that nobody takes the server from the others: a host before it has proved anything, a device after it has. */
import { limits } from '../core/limits.ts'

export class FloodGuard {
  readonly #hosts: Counter
  readonly #devices: Counter
  readonly #questions: Counter

  constructor(nowMs: () => number) {
    this.#hosts = new Counter(10_000, limits.serverCallsOfHost, nowMs)
    this.#devices = new Counter(60_000, limits.serverCallsOfDevice, nowMs)
    this.#questions = new Counter(60_000, limits.serverExchangesOfDevice, nowMs)
  }

  /** @returns false when it has come too often */
  hostComes(address: string): boolean {
    return this.#hosts.takes(address)
  }

  /** Whether it has not come too often: of who may turn out to be no stranger, who are not counted. */
  hostMayCome(address: string): boolean {
    return this.#hosts.count(address) < limits.serverCallsOfHost
  }

  /** Whether it has not come too often. Asked of who shows its words, which may be recorded ones. */
  mayCome(device: string): boolean {
    return this.#devices.count(device) < limits.serverCallsOfDevice
  }

  /** It is the device itself: it has said something that only its keys can say on this connection. */
  deviceCame(device: string): void {
    this.#devices.takes(device)
  }

  /** It has asked something, in a request of its own. @returns false when it has asked too often */
  deviceAsks(device: string): boolean {
    return this.#questions.takes(device)
  }
}

/** So many of each name in a window of time; names are forgotten with their window. */
class Counter {
  readonly #windowMs: number
  readonly #max: number
  readonly #nowMs: () => number
  readonly #counts = new Map<string, number>()
  #window = 0

  constructor(windowMs: number, max: number, nowMs: () => number) {
    this.#windowMs = windowMs
    this.#max = max
    this.#nowMs = nowMs
  }

  count(name: string): number {
    const window = Math.floor(this.#nowMs() / this.#windowMs)
    if (window !== this.#window) this.#counts.clear()
    this.#window = window
    return this.#counts.get(name) ?? 0
  }

  takes(name: string): boolean {
    const count = this.count(name) + 1
    this.#counts.set(name, count)
    return count <= this.#max
  }
}
