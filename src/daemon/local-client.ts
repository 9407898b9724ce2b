import type { Socket } from 'node:net'
import { dirname } from 'node:path'

import { HavenError } from '../core/errors.ts'
import type {
  DeviceOperations,
  ImportOptions,
  ImportProgress,
  ImportSource,
} from '../device/api.ts'
import { answers, connect, drained } from './connect.ts'
import { readLines } from './lines.ts'
import { line, localLimits, parseAnswer, requestLine, type UploadLine } from './local-protocol.ts'
import { type Method, operations } from './operations.ts'
import { malformed } from './shapes.ts'
import { isOwnSocket, isPrivateDirectory, socketPaths } from './socket-path.ts'

/**
 * The device that `haven up` runs on this data directory, or undefined when none does. It holds no connection: each call
 * makes its own, so there is nothing to close.
 */
export async function findRunningDevice(
  dataDir: string,
  env: Record<string, string | undefined>,
): Promise<DeviceOperations | undefined> {
  for (const path of await socketPaths(dataDir, env))
    if ((await isSafe(path)) && (await answers(path))) return runningDevice(path)
  return undefined
}

/** Another user must not be able to pose as the device: it would be given records. */
async function isSafe(path: string): Promise<boolean> {
  if (process.platform === 'win32') return true
  return (await isPrivateDirectory(dirname(path))) && (await isOwnSocket(path))
}

/** Each operation of the table as a call over the socket. */
function runningDevice(path: string): DeviceOperations {
  const remote = (method: Method) => {
    const { kind } = operations[method]
    if (kind === 'call') return async (...args: unknown[]) => call(path, requestLine(method, args))
    if (kind === 'items') return (...args: unknown[]) => items(path, requestLine(method, args))
    return (
      sources: Upload['sources'],
      { onProgress, ...choices }: ImportOptions & Omit<Upload, 'sources'> = {},
    ) => call(path, requestLine(method, [choices]), { sources, onProgress })
  }
  const methods = Object.keys(operations) as Method[]
  // What answers is our own device, of this same version: its results have the types that the table's methods have.
  return Object.fromEntries(
    methods.map((method) => [method, remote(method)]),
  ) as unknown as DeviceOperations
}

interface Upload {
  sources: Iterable<ImportSource> | AsyncIterable<ImportSource>
  onProgress?: ((progress: ImportProgress) => void) | undefined
}

/** @throws HavenError what the device answered, or `STOPPED` */
async function call(path: string, request: string, upload?: Upload): Promise<unknown> {
  const socket = await open(path, request)
  const uploading = upload && sendSources(socket, upload.sources)
  try {
    // A file that fails here ends the call; a device that answers early ends the sending.
    const answer = readResult(socket, upload?.onProgress)
    await Promise.race([answer, uploading?.then(() => answer)])
    return await answer
  } finally {
    socket.destroy()
    // Not awaited: it may be waiting for a person to type.
    uploading?.catch(() => {})
  }
}

async function readResult(
  socket: Socket,
  onProgress?: (progress: ImportProgress) => void,
): Promise<unknown> {
  for await (const answer of readAnswers(socket)) {
    if ('result' in answer) return answer.result
    if ('progress' in answer) onProgress?.(answer.progress)
  }
  throw stopped()
}

async function* items(path: string, request: string): AsyncGenerator {
  const socket = await open(path, request)
  try {
    for await (const answer of readAnswers(socket)) {
      if ('result' in answer) return
      if ('item' in answer) yield answer.item
    }
    // An export that was cut short must not look whole.
    throw stopped()
  } finally {
    socket.destroy()
  }
}

async function open(path: string, request: string): Promise<Socket> {
  try {
    const socket = await connect(path)
    // A failure shows as the end of what can be read, or of what can be written.
    socket.on('error', () => {})
    socket.write(request)
    return socket
  } catch (error) {
    throw stopped(error)
  }
}

async function* readAnswers(socket: Socket) {
  const chunks = untilFailure(socket.iterator({ destroyOnReturn: false }))
  for await (const text of readLines(chunks, localLimits.responseBytes)) {
    const answer = parseAnswer(text)
    if ('error' in answer) throw new HavenError(answer.error.code, answer.error.message)
    if (!('result' in answer || 'item' in answer || 'progress' in answer)) throw malformed()
    yield answer
  }
}

async function* untilFailure(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch {
    // Reset by a device that was killed: the missing result says so.
  }
}

/** Ends early when the device has answered, or is gone. */
async function sendSources(socket: Socket, sources: Upload['sources']): Promise<void> {
  for await (const { name, format, chunks } of sources) {
    await send(socket, { source: { name, format } })
    for await (const chunk of chunks) {
      for (const part of partsOf(chunk))
        await send(socket, { chunk: Buffer.from(part).toString('base64') })
      if (!socket.writable) return
    }
    await send(socket, { sourceEnd: true })
    if (!socket.writable) return
  }
  await send(socket, { end: true })
}

function* partsOf(chunk: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < chunk.length; start += localLimits.chunkBytes)
    yield chunk.subarray(start, start + localLimits.chunkBytes)
}

async function send(socket: Socket, message: UploadLine): Promise<void> {
  if (socket.writable && !socket.write(line(message))) await drained(socket)
}

function stopped(cause?: unknown): HavenError {
  return new HavenError(
    'STOPPED',
    '`haven up` stopped before it had answered: what it had confirmed is kept, so run this again.',
    { cause },
  )
}
