/**
 * Who has which message, for very many devices: a row of bits for each device. What a contact of no length does to two replicas that
 * forward everything to everybody, and nothing else: no bytes, no time on the way.
 */
export class Spread {
  readonly devices: number
  readonly messages: number
  readonly #words: number
  readonly #rows: Uint32Array
  readonly #held: Uint32Array
  /** How many devices have each message. */
  readonly coverage: Uint32Array
  /** Told of every arrival but a message's first, in the order in which they come. */
  readonly #arrived: ((message: number, device: number) => void) | undefined
  /** Contacts that had something to pass on, and arrivals in all. */
  useful = 0
  arrivals = 0

  constructor(
    devices: number,
    messages: number,
    arrived?: (message: number, device: number) => void,
  ) {
    this.devices = devices
    this.messages = messages
    this.#words = Math.ceil(messages / 32)
    this.#rows = new Uint32Array(devices * this.#words)
    this.#held = new Uint32Array(devices)
    this.coverage = new Uint32Array(messages)
    this.#arrived = arrived
  }

  has(device: number, message: number): boolean {
    return ((this.#rows[device * this.#words + (message >> 5)]! >>> (message & 31)) & 1) === 1
  }

  /** How many messages a device has. */
  held(device: number): number {
    return this.#held[device]!
  }

  /** A message begins, or is handed over by itself. @returns false where it was already */
  put(device: number, message: number): boolean {
    if (this.has(device, message)) return false
    this.#rows[device * this.#words + (message >> 5)]! |= 1 << (message & 31)
    this.#held[device]! += 1
    this.coverage[message]! += 1
    return true
  }

  /** Both have afterwards what either had. */
  meet(a: number, b: number): void {
    const words = this.#words
    const rows = this.#rows
    let [atA, atB] = [a * words, b * words]
    let isUseful = false
    for (let word = 0; word < words; word++, atA++, atB++) {
      const [inA, inB] = [rows[atA]!, rows[atB]!]
      if (inA === inB) continue
      isUseful = true
      rows[atA] = rows[atB] = inA | inB
      this.#passed(inB & ~inA, word, a)
      this.#passed(inA & ~inB, word, b)
    }
    if (isUseful) this.useful += 1
  }

  #passed(bits: number, word: number, device: number): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const message = word * 32 + 31 - Math.clz32(rest & -rest)
      this.coverage[message]! += 1
      this.#held[device]! += 1
      this.arrivals += 1
      this.#arrived?.(message, device)
    }
  }
}
