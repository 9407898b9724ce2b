/** The bytes of an inner channel over a WebSocket: each message of the socket is a sealed piece of them. */
import { Uint8ArrayList } from 'uint8arraylist'
import type { WebSocket } from 'ws'
import type { ByteStream } from '../mesh/frame-stream.ts'
import type { Pings } from '../mesh/pulse.ts'
import type { Connection } from './inner-channel.ts'

interface StreamEvents {
  message: { data: Uint8Array }
  close: { error?: Error }
  remoteCloseWrite: object
  drain: object
  idle: object
}

type Listener = (event: never) => void

export class ChannelStream implements ByteStream {
  readonly #socket: WebSocket
  readonly #connection: Connection
  readonly #listeners = new Map<keyof StreamEvents, Listener[]>()
  #isPaused = false
  #unsentBytes = 0
  #error: Error | undefined

  /** @param socket - open, its handshake done */
  constructor(socket: WebSocket, connection: Connection) {
    this.#socket = socket
    this.#connection = connection
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const piece = isBinary ? connection.receiving.open(data) : undefined
      if (piece === undefined) this.abort(new Error('not a message of this channel'))
      else this.#emit('message', { data: piece })
    })
    socket.on('close', () => {
      this.#emit('close', this.#error === undefined ? {} : { error: this.#error })
    })
  }

  /** Without pings, which wait in the socket too and say nothing when they leave. */
  get writeBufferLength(): number {
    return this.#unsentBytes
  }

  /** Pieces are handed on as they come. */
  readonly readBufferLength = 0

  get writableNeedsDrain(): boolean {
    return this.#unsentBytes > 0
  }

  get readStatus(): ByteStream['readStatus'] {
    if (this.#socket.readyState >= this.#socket.CLOSING) return 'closed'
    return this.#isPaused ? 'paused' : 'readable'
  }

  get remoteWriteStatus(): ByteStream['remoteWriteStatus'] {
    return this.#socket.readyState === this.#socket.OPEN ? 'writable' : 'closed'
  }

  send(data: Uint8ArrayList): boolean {
    const bytes = data.byteLength
    this.#unsentBytes += bytes
    this.#socket.send(this.#connection.sending.seal(data.subarray()), () => {
      this.#unsentBytes -= bytes
      if (this.#unsentBytes === 0) this.#emit('idle', {})
    })
    return this.#unsentBytes === 0
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#socket.resume()
  }

  async close({ signal }: { signal: AbortSignal }): Promise<void> {
    // Its event has been.
    if (this.#socket.readyState === this.#socket.CLOSED) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#socket.once('close', () => resolve())
    signal.addEventListener('abort', () => reject(new Error('not closed in time')))
    this.#socket.close()
    await promise
  }

  abort(error: Error): void {
    this.#error ??= error
    this.#socket.terminate()
  }

  addEventListener(type: keyof StreamEvents, listener: Listener): void {
    const listeners = this.#listeners.get(type)
    if (listeners === undefined) this.#listeners.set(type, [listener])
    else listeners.push(listener)
  }

  #emit<K extends keyof StreamEvents>(type: K, event: StreamEvents[K]): void {
    for (const listener of this.#listeners.get(type) ?? [])
      (listener as (event: StreamEvents[K]) => void)(event)
  }
}

/** A WebSocket's pings are answered in the order of the data, if by a proxy, then as far as that. */
export function pingsOf(socket: WebSocket): Pings {
  return {
    ping() {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const answered = () => {
        socket.off('close', ended)
        resolve()
      }
      const ended = () => {
        socket.off('pong', answered)
        reject(new Error('closed'))
      }
      socket.once('pong', answered)
      socket.once('close', ended)
      socket.ping()
      return promise
    },
    onHeard(listener) {
      const events = ['message', 'ping', 'pong'] as const
      for (const event of events) socket.on(event, listener)
      return () => {
        for (const event of events) socket.off(event, listener)
      }
    },
  }
}
