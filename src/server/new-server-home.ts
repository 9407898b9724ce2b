/** A home that is made of a backup: it can't be used before all is there, and nothing remains when that fails. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HavenError } from '../core/errors.ts'
import { systemRandom } from '../device/system.ts'
import { prepareDataDirectory } from '../store/data-dir.ts'
import { replaceFile, syncDirectory } from '../store/durable-file.ts'
import { createKeystore } from '../store/keystore.ts'
import { lockDirectory } from '../store/process-lock.ts'
import { ServerDatabase } from './server-database.ts'
import { ServerDirectory, restoringFile } from './server-directory.ts'
import type { ServerPlace } from './open-server-home.ts'
import type { ServerHome } from './server-home.ts'

export interface NewServerHome {
  readonly home: ServerHome
  /** From now on it is one like any other. Closes it. */
  complete(): Promise<void>
  /** Closes it, and removes what was made. */
  abandon(): Promise<void>
}

/** @throws HavenError `NOT_EMPTY` where there is something else than what an interrupted restore left */
export async function newServerHome(
  place: ServerPlace,
  secrets: ReadonlyMap<string, Uint8Array>,
): Promise<NewServerHome> {
  if (place.dataDir === undefined) {
    const { postgres, passphrase } = place
    return ServerDatabase.restoring(postgres, { secrets, passphrase })
  }
  const directory = await prepareDataDirectory(place.dataDir)
  const { path } = directory
  const found = await readdir(path)
  if (found.length > 0 && !found.includes(restoringFile))
    throw new HavenError(
      'NOT_EMPTY',
      `There is something in ${path} already, and a backup is restored only where there is nothing. Give an empty directory with --data.`,
    )
  // Somebody may be at it just now.
  if (found.length > 0) (await lockDirectory(directory.lockFile, 0)).release()
  await emptied(path)
  try {
    await replaceFile(join(path, restoringFile), new Uint8Array(0))
    const { passphrase } = place
    await createKeystore(directory.keysFile, Object.fromEntries(secrets), { passphrase })
    const home = await ServerDirectory.open(path, {
      passphrase,
      random: systemRandom,
      lockWaitMs: 0,
      isRestoring: true,
    })
    return {
      home,
      async complete() {
        await home.close()
        await rm(join(path, restoringFile))
        await syncDirectory(path)
      },
      async abandon() {
        await home.close()
        await emptied(path)
      },
    }
  } catch (error) {
    await emptied(path)
    throw error
  }
}

/** The mark goes last. */
async function emptied(path: string): Promise<void> {
  const names = (await readdir(path)).toSorted((a) => (a === restoringFile ? 1 : -1))
  for (const name of names) await rm(join(path, name), { recursive: true, force: true })
}
