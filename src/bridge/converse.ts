/** A conversation with a server in plain requests: question after question, at the pace that there is something to say. */
import { HavenError, isHavenError } from '../core/errors.ts'
import type { Asker, StartAsking } from '../sync/asker.ts'
import type { ExchangePace } from './exchange-pace.ts'
import type { ServerPosts } from './server-posts.ts'

export interface ConversationOptions {
  readonly posts: ServerPosts
  readonly pace: ExchangePace
  readonly startAsking: StartAsking
  /** The server's id. */
  readonly device: string
  readonly address: string
  /** How long to wait at least where there is nothing to send, because each exchange costs something. */
  readonly paceMs?: (() => number) | undefined
}

export class Conversation {
  readonly #options: ConversationOptions
  readonly #asker: Asker
  readonly #closed = Promise.withResolvers<string>()
  #isOver = false
  #wake: (() => void) | undefined
  #hasNews = false
  /** Resolves with why it is over. Rejects with the HavenError of a question that was not answered. */
  readonly ended: Promise<string>

  /** It begins at once. */
  constructor(options: ConversationOptions) {
    this.#options = options
    this.#asker = options.startAsking({
      device: options.device,
      address: options.address,
      hasNews: () => {
        this.#hasNews = true
        this.#wake?.()
      },
      closed: (reason) => {
        this.#isOver = true
        this.#closed.resolve(reason)
      },
    })
    this.ended = this.#run()
  }

  close(reason: string): void {
    this.#asker.close(reason)
  }

  async #run(): Promise<string> {
    const { posts } = this.#options
    try {
      return await Promise.race([this.#closed.promise, this.#goOn()])
    } catch (error) {
      if (this.#isOver) return await this.#closed.promise
      const problem = isHavenError(error)
        ? error
        : new HavenError('INTERNAL', 'An exchange with the server failed.', { cause: error })
      if (problem.code !== 'QUOTA_EXCEEDED') this.#options.pace.failed()
      this.#asker.close(problem.code)
      throw problem
    } finally {
      this.#isOver = true
      this.#wake?.()
      posts.close()
    }
  }

  async #goOn(): Promise<never> {
    const { posts, pace, paceMs } = this.#options
    for (;;) {
      this.#hasNews = false
      const question = await this.#asker.ask(pace.budget)
      const startedMs = performance.now()
      const answer = await posts.exchange(question)
      const tookMs = performance.now() - startedMs
      const outlook = await this.#asker.answered(answer)
      const restMs = pace.ended(tookMs, outlook)
      await this.#rest(outlook === 'more' ? restMs : Math.max(restMs, paceMs?.() ?? 0))
    }
  }

  /** Until it is time, or some moments after there is something to send. */
  async #rest(ms: number): Promise<void> {
    const dueMs = performance.now() + ms
    await this.#sleep(ms, () => this.#hasNews)
    const leftMs = dueMs - performance.now()
    if (this.#hasNews && leftMs > 0) await this.#sleep(Math.min(leftMs, this.#options.pace.news()))
  }

  async #sleep(ms: number, isOver: () => boolean = () => false): Promise<void> {
    if (ms <= 0 || this.#isOver || isOver()) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#wake = () => {
      if (this.#isOver || isOver()) resolve()
    }
    await promise
    clearTimeout(timer)
    this.#wake = undefined
  }
}
