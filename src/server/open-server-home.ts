/** Finds out where a server's things are, and opens them. */
import { systemRandom } from '../device/system.ts'
import { ServerDirectory } from './server-directory.ts'
import type { ServerHome } from './server-home.ts'

/** A directory of this machine. */
export interface ServerPlace {
  readonly passphrase?: string | undefined
  readonly dataDir: string
}

/** Two servers on one directory wait for each other this long. */
const lockWaitMs = 5_000

/**
 * To serve from; what is not there yet is made.
 *
 * @throws HavenError those of {@link ServerDirectory.open}
 */
export function openServerHome(place: ServerPlace): Promise<ServerHome> {
  const { passphrase } = place
  return ServerDirectory.open(place.dataDir, { passphrase, random: systemRandom, lockWaitMs })
}

/**
 * For a command beside the server: nobody is locked out.
 *
 * @throws HavenError `NOT_FOUND`, and those of {@link openServerHome}
 */
export function lookAtServerHome(place: ServerPlace): Promise<ServerHome> {
  const { passphrase } = place
  return ServerDirectory.look(place.dataDir, passphrase)
}
