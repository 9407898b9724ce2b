/** Finds out where a server's things are, and opens them. */
import { systemRandom } from '../device/system.ts'
import { ServerDatabase } from './server-database.ts'
import { ServerDirectory } from './server-directory.ts'
import type { ServerHome } from './server-home.ts'

/** A directory of this machine, or a database (`postgres://…`). */
export type ServerPlace = { readonly passphrase?: string | undefined } & (
  | { readonly dataDir: string; readonly postgres?: undefined }
  | { readonly postgres: string; readonly dataDir?: undefined }
)

/** Two servers on one directory wait for each other this long. */
const lockWaitMs = 5_000

/**
 * To serve from; what is not there yet is made.
 *
 * @throws HavenError those of {@link ServerDirectory.open} and {@link ServerDatabase.open}
 */
export function openServerHome(place: ServerPlace): Promise<ServerHome> {
  const { passphrase } = place
  return place.postgres === undefined
    ? ServerDirectory.open(place.dataDir, { passphrase, random: systemRandom, lockWaitMs })
    : ServerDatabase.open(place.postgres, { passphrase, random: systemRandom })
}

/**
 * For a command beside the server: nobody is locked out.
 *
 * @throws HavenError `NOT_FOUND`, and those of {@link openServerHome}
 */
export function lookAtServerHome(place: ServerPlace): Promise<ServerHome> {
  const { passphrase } = place
  return place.postgres === undefined
    ? ServerDirectory.look(place.dataDir, passphrase)
    : ServerDatabase.look(place.postgres, passphrase)
}
