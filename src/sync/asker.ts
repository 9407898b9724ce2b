/** What a carrier of questions and answers gets from whoever owns the engine: it knows nothing of what goes over it. */
import type { ExchangeBudget, ExchangeOutlook } from './exchange.ts'

export type { ExchangeBudget, ExchangeOutlook } from './exchange.ts'

export interface AskerOptions {
  /** Who answers; the carrier has proved it. */
  readonly device: string
  /** For people. */
  readonly address: string
  /** There is something to send: once, until the next question. */
  readonly hasNews: () => void
  /** The conversation is over from this side; once. */
  readonly closed: (reason: string) => void
}

/** The questions to one other device, one after the other. A question that was lost ends it: the next one begins anew. */
export interface Asker {
  /**
   * The frames of the next question.
   *
   * @throws HavenError `PEER_CLOSED` when the conversation is over
   */
  ask(budget: ExchangeBudget): Promise<Uint8Array[]>
  /**
   * Takes in the frames of its answer; resolves when what came with them is durable.
   *
   * @returns whether there is more to ask or to send
   * @throws HavenError `PEER_CLOSED` when the conversation is over
   */
  answered(frames: readonly Uint8Array[]): Promise<ExchangeOutlook>
  close(reason: string): void
}

/** Called for each new conversation. */
export type StartAsking = (options: AskerOptions) => Asker
