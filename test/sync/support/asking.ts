import { answerQuestion, askerOver } from '../../../src/device/exchange.ts'
import type { Answer } from '../../../src/device/exchange.ts'
import type { Asker, ExchangeBudget } from '../../../src/sync/asker.ts'
import { decodeMessage } from '../../../src/sync/message.ts'
import type { Section } from '../../../src/sync/section.ts'
import { Chance } from './chance.ts'
import { SimulatedDevice } from './simulated-device.ts'
import { stubMember } from './stub-authority.ts'
import { VirtualTime } from './virtual-time.ts'

const mib = 1024 * 1024

/** Devices, of which the last one is a server that is only asked. All know each other, unless told otherwise. */
export class AskedServer {
  readonly time = new VirtualTime()
  readonly devices: SimulatedDevice[]
  readonly server: SimulatedDevice

  constructor({
    devices,
    seed = 1,
    acquainted = true,
  }: {
    devices: number
    seed?: number
    acquainted?: boolean
  }) {
    const chance = new Chance(seed)
    const all = Array.from(
      { length: devices + 1 },
      (_, index) => new SimulatedDevice(index, this.time, chance, [1, 4]),
    )
    if (acquainted) {
      for (const { authority } of all)
        for (const { id, index } of all) authority.known.set(id, stubMember(index).certificate)
    }
    this.server = all.pop()!
    this.devices = all
  }

  /** The next question is answered by another process, on the same disk. */
  restart(): void {
    this.server.start(this.server.store.disk)
  }

  /** Lets time go on until something is done. */
  async until<T>(work: Promise<T>): Promise<T> {
    const state = { isDone: false }
    const watched = (async () => {
      try {
        return await work
      } finally {
        state.isDone = true
      }
    })()
    watched.catch(() => {})
    for (let steps = 0; !state.isDone; steps++) {
      if (steps > 10_000) throw new Error('nothing comes of it')
      await this.time.run(10, () => {})
    }
    return watched
  }

  async write(
    device: SimulatedDevice,
    sizes: readonly number[],
    collection: string,
  ): Promise<void> {
    await this.until(device.write(sizes, collection, 'routine'))
  }
}

/** One device's conversation with the server, question by question. */
export class Asking {
  readonly #world: AskedServer
  readonly #device: SimulatedDevice
  #asker: Asker | undefined
  news = 0
  readonly reasons: string[] = []
  /** Sizes of the last question and the last answer. */
  bytes = { question: 0, answer: 0 }
  said: { question: Section[]; answer: Section[] } = { question: [], answer: [] }

  constructor(world: AskedServer, device: SimulatedDevice) {
    this.#world = world
    this.#device = device
  }

  /** What is to be said next, as it would go over the wire. */
  async question(
    budget: ExchangeBudget = { sendBytes: mib, takeBytes: mib },
  ): Promise<Uint8Array[]> {
    this.#asker ??= askerOver(this.#device.driver, {
      device: this.#world.server.id,
      address: 'server',
      hasNews: () => (this.news += 1),
      closed: (reason) => this.reasons.push(reason),
    })
    const frames = await this.#world.until(this.#asker.ask(budget))
    this.bytes.question = size(frames)
    this.said.question = sectionsOf(frames)
    return frames
  }

  async answerTo(question: readonly Uint8Array[]): Promise<Answer> {
    const { server } = this.#world
    const from = { device: this.#device.id, address: 'device' }
    const answer = await this.#world.until(answerQuestion(server.driver, from, question))
    this.bytes.answer = size(answer.frames)
    this.said.answer = sectionsOf(answer.frames)
    return answer
  }

  async heard(answer: Answer): Promise<boolean> {
    return (await this.#world.until(this.#asker!.answered(answer.frames))) === 'more'
  }

  /** A whole exchange. @returns whether there is more to say */
  async exchange(budget?: ExchangeBudget): Promise<boolean> {
    const answer = await this.answerTo(await this.question(budget))
    if (answer.code !== '') throw new Error(`no answer: ${answer.code}`)
    return this.heard(answer)
  }

  /** Until there is no more to say. @returns how many exchanges that took */
  async exchangeAll(budget?: ExchangeBudget, between: () => void = () => {}): Promise<number> {
    for (let count = 1; count < 200; count++) {
      const more = await this.exchange(budget)
      between()
      if (!more) return count
    }
    throw new Error('it does not come to an end')
  }

  /** A question or an answer was lost: the conversation begins anew. */
  async lost(): Promise<void> {
    this.#asker?.close('lost')
    this.#asker = undefined
    await this.#world.time.run(10, () => {})
  }
}

function size(frames: readonly Uint8Array[]): number {
  return frames.reduce((sum, frame) => sum + frame.length + 4, 0)
}

function sectionsOf(frames: readonly Uint8Array[]): Section[] {
  return frames.flatMap((frame) => [...decodeMessage(frame).sections])
}
