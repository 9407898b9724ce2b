import { createHash } from 'node:crypto'
import { lstat, mkdir, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { HavenError } from '../core/errors.ts'

/** The kernel's limit for a socket's path is 108 bytes on Linux and 104 on macOS, the final zero included. */
const pathBytesMax = 99

type Environment = Record<string, string | undefined>

/**
 * Where the socket of a data directory may be, in the order of preference. More than one place, because a device that a
 * service manager started and a command typed in a terminal do not always have the same environment.
 *
 * The name is a hash of the directory's real path: short, and the same by whatever link somebody got there.
 *
 * @returns nothing when the data directory does not exist
 */
export async function socketPaths(dataDir: string, env: Environment): Promise<string[]> {
  const directory = await realpath(dataDir).catch(() => undefined)
  if (directory === undefined) return []
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  if (process.platform === 'win32') return [`\\\\.\\pipe\\havenmesh-${name}`]
  const paths = socketDirectories(env).map((place) => join(place, `${name}.sock`))
  return [...new Set(paths)].filter((path) => Buffer.byteLength(path) <= pathBytesMax)
}

function socketDirectories(env: Environment): string[] {
  const user = String(process.getuid?.())
  const runtime = env.XDG_RUNTIME_DIR
  return [
    ...(runtime?.startsWith('/') ? [join(runtime, 'haven')] : []),
    join('/run/user', user, 'haven'),
    join(tmpdir(), `haven-${user}`),
    join('/tmp', `haven-${user}`),
  ]
}

/**
 * Makes the directory for a socket, or finds it made.
 *
 * @throws HavenError `LISTEN_FAILED` when somebody else made it, or others may enter it: in a directory for everybody, such as
 * /tmp, another user could be waiting there
 */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  })
  if (!(await isPrivateDirectory(path)))
    throw new HavenError(
      'LISTEN_FAILED',
      `The directory ${path} for the local socket belongs to somebody else, or others may enter it: remove it, or set XDG_RUNTIME_DIR to a directory of your own.`,
    )
}

/** Whether it is a real directory, of this user, that nobody else may enter. */
export async function isPrivateDirectory(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  return found?.isDirectory() === true && isOwn(found.uid) && (found.mode & 0o077) === 0
}

/** Whether it is a socket of this user. */
export async function isOwnSocket(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  return found?.isSocket() === true && isOwn(found.uid)
}

function isOwn(uid: number): boolean {
  return uid === process.getuid?.()
}
