/** The home of a server that any number of processes share: a PostgreSQL database, or one that speaks its protocol. */
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { hexToBytes } from '../core/bytes.ts'
import { systemClock, systemTimers } from '../device/system.ts'
import type { Damage } from '../store/damage.ts'
import { sealSecrets, unsealSecrets } from '../store/keystore.ts'
import { openPostgres } from '../store/postgres/database.ts'
import type { PostgresDatabase } from '../store/postgres/database.ts'
import { openPostgresStore } from '../store/postgres/postgres-store.ts'
import { ServerTables } from '../store/postgres/server-tables.ts'
import type { SharedStore } from '../store/shared-store.ts'
import { ChannelSecrets } from './channel-secrets.ts'
import { removedMesh } from './server-home.ts'
import type { MeshShelf, ServerHome } from './server-home.ts'
import type { RequestBook } from './request-book.ts'
import { SharedSentBytes } from './shared-sent-bytes.ts'
import { newServerSecrets, readServerSecrets } from './server-secrets.ts'
import type { ServerSecrets } from './server-secrets.ts'
import { sumOf } from './usage.ts'
import type { Amount, MeshUsage } from './usage.ts'

const dayMs = 24 * 60 * 60 * 1000
/** Whoever asks whether this server is ready does not wait for long. */
const answersWithinMs = 2_000

const noServer = (): HavenError =>
  new HavenError(
    'NOT_FOUND',
    'There is no server in this database. Run haven server --postgres there first.',
  )

export class ServerDatabase implements ServerHome {
  readonly isShared = true
  readonly secrets: ServerSecrets
  readonly requests: RequestBook = {
    isNew: (id, expiresMs) =>
      this.#tables.noteRequest(hexToBytes(id), { nowMs: systemClock.nowMs(), expiresMs }),
  }
  readonly #database: PostgresDatabase
  readonly #tables: ServerTables
  readonly #channelSecrets: ChannelSecrets | undefined

  private constructor(
    database: PostgresDatabase,
    tables: ServerTables,
    secrets: ServerSecrets,
    channelSecrets: ChannelSecrets | undefined,
  ) {
    this.#database = database
    this.#tables = tables
    this.secrets = secrets
    this.#channelSecrets = channelSecrets
  }

  /**
   * To serve from; what is not there yet is made, by whichever process comes first.
   *
   * @throws HavenError `DATABASE_UNREACHABLE`, `DATABASE_REFUSED`, `STORE_NEWER_VERSION`, `STORE_FAILED`, `KEYSTORE_UNREADABLE`
   */
  static open(
    url: string,
    { passphrase, random }: { readonly passphrase: string | undefined; readonly random: Random },
  ): Promise<ServerDatabase> {
    return connected(url, async (database, tables) => {
      const made = (): Uint8Array =>
        sealSecrets(new Map(Object.entries(newServerSecrets(random))), { passphrase })
      const secrets = secretsFrom(await tables.keys(made), passphrase)
      const environment = { tables, clock: systemClock, random, timers: systemTimers }
      return new ServerDatabase(database, tables, secrets, await ChannelSecrets.open(environment))
    })
  }

  /**
   * For a command beside the server: nothing is made.
   *
   * @throws HavenError `NOT_FOUND`, and those of {@link open}
   */
  static look(url: string, passphrase: string | undefined): Promise<ServerDatabase> {
    return connected(url, async (database, tables) => {
      const keys = await tables.existingKeys()
      if (keys === undefined) throw noServer()
      return new ServerDatabase(database, tables, secretsFrom(keys, passphrase), undefined)
    })
  }

  /**
   * To be filled from a backup, before there is a server in it.
   *
   * @param options.secrets - of the server that it will be
   * @throws HavenError `NOT_EMPTY`, and those of {@link open}
   */
  static restoring(
    url: string,
    options: {
      readonly secrets: ReadonlyMap<string, Uint8Array>
      readonly passphrase: string | undefined
    },
  ): Promise<{ home: ServerHome; complete: () => Promise<void>; abandon: () => Promise<void> }> {
    const { secrets, passphrase } = options
    return connected(url, async (database, tables) => {
      const isServer = (await tables.existingKeys()) !== undefined
      if (isServer || (await tables.meshes()).length > 0)
        throw new HavenError(
          'NOT_EMPTY',
          'There is a server in this database already, and a backup is restored only where there is nothing. Give an empty database.',
        )
      const read = readServerSecrets((name) => secrets.get(name), 'the backup')
      const home = new ServerDatabase(database, tables, read, undefined)
      return {
        home,
        async complete() {
          // It is a server from here on.
          await tables.keys(() => sealSecrets(secrets, { passphrase }))
          await home.close()
        },
        async abandon() {
          for (const mesh of await tables.meshes()) await tables.removeMesh(mesh, removedMesh)
          await home.close()
        },
      }
    })
  }

  channelSecrets(): readonly Uint8Array[] {
    return this.#channelSecrets?.all ?? []
  }

  meshes(): Promise<string[]> {
    return this.#tables.meshes()
  }

  addMesh(mesh: string): Promise<void> {
    return this.#tables.addMesh(mesh)
  }

  async openMesh(mesh: string, onDamage: (damage: Damage) => void): Promise<MeshShelf> {
    const { storeKey } = this.secrets
    const store = await openPostgresStore({ database: this.#database, mesh, storeKey, onDamage })
    const sent = new SharedSentBytes({ tables: this.#tables, mesh, timers: systemTimers })
    await sent.load(Math.floor(systemClock.nowMs() / dayMs))
    return { store, shared: store, usage: new SharedUsage(store), sent }
  }

  meshOfInvitation(nonce: string): Promise<string | undefined> {
    return this.#tables.meshOfInvitation(nonce)
  }

  bindInvitation(nonce: string, mesh: string): Promise<string> {
    return this.#tables.bindInvitation(nonce, mesh)
  }

  usedInvitations(): Promise<{ nonce: string; mesh: string }[]> {
    return this.#tables.invitations()
  }

  async removeMesh(mesh: string): Promise<void> {
    const there = [...(await this.#tables.meshes()), ...(await this.#tables.unfinishedRemovals())]
    if (!there.includes(mesh))
      throw new HavenError('NOT_FOUND', 'There is no such mesh on this server.')
    await this.#tables.removeMesh(mesh, removedMesh)
  }

  async address(): Promise<string> {
    const address = await this.#tables.address()
    if (address === undefined) {
      throw new HavenError(
        'NOT_FOUND',
        'No process of this server has run yet: none has said where devices reach it.',
      )
    }
    return address
  }

  writeAddress(address: string): Promise<void> {
    return this.#tables.setAddress(address)
  }

  async isReachable(): Promise<boolean> {
    const late = Promise.withResolvers<boolean>()
    const cancel = systemTimers.after(answersWithinMs, () => late.resolve(false))
    const answers = async (): Promise<boolean> => {
      try {
        await this.#tables.address()
        return true
      } catch {
        return false
      }
    }
    try {
      return await Promise.race([answers(), late.promise])
    } finally {
      cancel()
    }
  }

  async close(): Promise<void> {
    this.#channelSecrets?.close()
    await this.#database.close()
  }
}

/** What all processes have stored, as this one last saw it. */
class SharedUsage implements MeshUsage {
  readonly #store: SharedStore

  constructor(store: SharedStore) {
    this.#store = store
  }

  get total(): Amount {
    return sumOf(this.#store.usage.values())
  }

  get byDevice(): ReadonlyMap<string, Amount> {
    return this.#store.usage
  }
}

function secretsFrom(keys: Uint8Array, passphrase: string | undefined): ServerSecrets {
  const place = 'the database'
  const secrets = unsealSecrets(keys, place, passphrase)
  return readServerSecrets((name) => secrets.get(name), place)
}

async function connected<T>(
  url: string,
  use: (database: PostgresDatabase, tables: ServerTables) => Promise<T>,
): Promise<T> {
  const database = await openPostgres(url)
  try {
    return await use(database, new ServerTables(database))
  } catch (error) {
    await database.close()
    throw error
  }
}
