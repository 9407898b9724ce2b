/** The server's side of the handshake on a WebSocket that has just come in. */
import type { WebSocket } from 'ws'
import { limits } from '../core/limits.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { answerTheChallenge, type ChannelGate } from '../bridge/inner-channel.ts'
import type { Claim, Connection } from '../bridge/inner-channel.ts'

export interface AdmittedSocket {
  readonly claim: Claim
  readonly connection: Connection
}

/**
 * Says the challenge at once, and hears who answers. Strangers are cut off without a word.
 *
 * @param decide - why the device may not come in, as an error code; empty: it may
 * @param admitted - called in the same turn in which the device is told so, so that nothing that it says is missed
 */
export function admitSocket(
  socket: WebSocket,
  options: {
    readonly gate: ChannelGate
    readonly nowMs: () => number
    readonly decide: (claim: Claim) => Promise<string>
    readonly admitted: (device: AdmittedSocket) => void
    readonly refused: (code: string) => void
  },
): void {
  const { gate, nowMs } = options
  let hasTriedToken = false
  let isDeciding = false
  let hasEnded = false
  /** It is no longer ours. */
  const leave = (): void => {
    hasEnded = true
    clearTimeout(late)
    socket.off('message', received)
    socket.off('close', gone)
  }
  const end = (code: string): void => {
    if (hasEnded) return
    leave()
    options.refused(code)
  }
  const late = setTimeout(() => {
    end('TIMED_OUT')
    socket.terminate()
  }, limits.helloMs)
  const gone = () => end('PEER_CLOSED')

  const heard = async (message: Uint8Array): Promise<void> => {
    if (isDeciding) throw new HavenError('OUT_OF_ORDER', 'A device went on before it was let in.')
    const admission = gate.admit(message, nowMs())
    if (admission === undefined) {
      if (hasTriedToken) throw new HavenError('OUT_OF_ORDER', 'A device showed a second token.')
      hasTriedToken = true
      socket.send(answerTheChallenge)
      return
    }
    isDeciding = true
    const code = await options.decide(admission.claim)
    if (hasEnded) return
    socket.send(admission.reply(code))
    if (code !== '') {
      end(code)
      socket.close()
      return
    }
    leave()
    options.admitted(admission)
  }
  const take = async (data: Buffer, isBinary: boolean): Promise<void> => {
    try {
      if (!isBinary) throw new HavenError('MALFORMED', 'A message of the handshake was text.')
      await heard(data)
    } catch (error) {
      end(isHavenError(error) ? error.code : 'MALFORMED')
      socket.terminate()
    }
  }
  const received = (data: Buffer, isBinary: boolean): void => void take(data, isBinary)
  socket.on('error', () => {
    // Its end is reported by `close`.
  })
  socket.on('message', received)
  socket.on('close', gone)
  socket.send(gate.challenge(nowMs()))
}
