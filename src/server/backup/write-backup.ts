/** Writes the backup of a server, beside it while it runs or without it. */
import { systemClock } from '../../device/system.ts'
import { sealSecrets } from '../../store/keystore.ts'
import { withControl } from '../reach-server.ts'
import type { ServerPlace } from '../open-server-home.ts'
import { lookAtServerHome } from '../open-server-home.ts'
import { namedSecrets } from '../server-secrets.ts'
import { PartWriter } from './part-file.ts'
import type { PartContent } from './part-file.ts'
import { aboutPart, endPart, invitationsPart, partKinds, readMeshEnd } from './part-kinds.ts'

export interface BackupReport {
  readonly file: string
  readonly bytes: number
  readonly meshes: number
  readonly commits: number
  /** Whether a passphrase is needed to use its keys. */
  readonly sealed: boolean
}

/** Some megabytes. */
const invitationsInPart = 10_000

/**
 * The file is there, whole and durable, when this resolves; until then what was under its name stays.
 *
 * @throws HavenError `NOT_FOUND` where there is no server, `KEYSTORE_UNREADABLE`, `STORE_BUSY`, `STORE_NOT_WRITABLE`, `DISK_FULL`
 */
export async function writeBackup(place: ServerPlace, file: string): Promise<BackupReport> {
  const looked = await lookAtServerHome(place)
  const writer = await PartWriter.create(file)
  const counts = { meshes: 0, commits: 0 }
  try {
    const { passphrase } = place
    const { keys } = looked.secrets
    await writer.write(aboutPart({ madeMs: systemClock.nowMs(), device: keys.device }))
    await writer.write({
      kind: partKinds.keys,
      payload: sealSecrets(namedSecrets(looked.secrets), { passphrase }),
    })
    await withControl(place, async (control) => {
      for await (const part of control.backup()) {
        await writer.write(part)
        count(part, counts)
      }
    })
    // Last: a code that was used meanwhile is here, and its mesh may not be; never the other way around.
    const used = await looked.usedInvitations()
    for (let at = 0; at < used.length; at += invitationsInPart)
      await writer.write(invitationsPart(used.slice(at, at + invitationsInPart)))
    await writer.write(endPart(counts.meshes))
    await writer.finish()
    return { file, bytes: writer.bytes, ...counts, sealed: passphrase !== undefined }
  } catch (error) {
    await writer.abandon()
    throw error
  } finally {
    await looked.close()
  }
}

function count({ kind, payload }: PartContent, counts: { meshes: number; commits: number }): void {
  if (kind !== partKinds.meshEnd) return
  counts.meshes += 1
  counts.commits += readMeshEnd(payload).commits
}
