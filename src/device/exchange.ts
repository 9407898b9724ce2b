/** Questions and answers over a driver: what a device asks a server with, and what a server answers with, whatever carries them. */
import { emptyBytes } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { answeredReason } from '../sync/engine.ts'
import type { Link } from '../sync/link.ts'
import type { Asker, AskerOptions, ExchangeBudget } from '../sync/asker.ts'
import type { SyncDriver } from './sync-driver.ts'

let linkCount = 0

export interface Answer {
  /** Why it is none, as an error code; empty: it is one. */
  readonly code: string
  readonly frames: readonly Uint8Array[]
}

/**
 * One question, heard and answered. Resolves when what came with it is durable, and keeps nothing.
 *
 * @param device - who asks; the carrier has proved it
 */
export async function answerQuestion(
  driver: SyncDriver,
  { device, address }: { readonly device: string; readonly address: string },
  question: readonly Uint8Array[],
): Promise<Answer> {
  if (question.length === 0) return { code: 'MALFORMED', frames: [] }
  const frames: Uint8Array[] = []
  let reason: string | undefined
  const link: Link = {
    ...linkTo(device, address, 'listener'),
    send: (frame) => frames.push(frame) > 0,
    close(why) {
      if (reason !== undefined) return
      reason = why
      queueMicrotask(() => handler.closed(why))
    },
  }
  const handler = driver.accept(link)
  // The driver takes the link up in a microtask.
  await Promise.resolve()
  for (const frame of question) if (reason === undefined) handler.received(frame)
  await driver.untilSettled(link.id)
  driver.answer(link.id)
  return { code: reason === answeredReason ? '' : (reason ?? 'STOPPED'), frames }
}

/** What a device asks with: the questions of one server after each other. */
export function askerOver(driver: SyncDriver, options: AskerOptions): Asker {
  let frames: Uint8Array[] = []
  let reason: string | undefined
  const link: Link = {
    ...linkTo(options.device, options.address, 'dialler'),
    send: (frame) => frames.push(frame) > 0,
    close(why) {
      if (reason !== undefined) return
      reason = why
      queueMicrotask(() => {
        handler.closed(why)
        options.closed(why)
      })
    },
    hasNews: () => options.hasNews(),
  }
  const handler = driver.accept(link)
  return {
    async ask(budget: ExchangeBudget) {
      // The driver takes the link up in a microtask.
      await Promise.resolve()
      driver.ask(link.id, budget)
      await driver.untilSettled(link.id)
      driver.asked(link.id)
      const question = frames
      frames = []
      if (reason !== undefined) throw ended(reason)
      return question
    },
    async answered(answer) {
      for (const frame of answer) if (reason === undefined) handler.received(frame)
      driver.answered(link.id)
      await driver.untilSettled(link.id)
      if (reason !== undefined) throw ended(reason)
      return driver.engine.outlook(link.id)
    },
    close: (why) => link.close(why),
  }
}

function linkTo(device: string, remoteAddress: string, side: Link['side']) {
  return {
    id: `exchange-${++linkCount}`,
    side,
    binding: emptyBytes,
    vouchedFor: device,
    remoteAddress,
    queuedBytes: 0,
  } as const
}

function ended(reason: string): HavenError {
  return new HavenError('PEER_CLOSED', `The conversation with the server ended (${reason}).`)
}
