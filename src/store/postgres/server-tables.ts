/** What the processes of one server share beside the stores of its meshes. */
import { randomBytes } from 'node:crypto'
import { bytesToHex, hexToBytes } from '../../core/bytes.ts'
import { bigintArray, byteaArray } from './binary-array.ts'
import type { PostgresDatabase } from './database.ts'
import { statement } from './statement.ts'

/** A secret that opens channels on every process; 32 bytes. */
export interface ChannelSecret {
  readonly id: string
  readonly secret: Uint8Array
  readonly createdMs: number
}

/** What a device was sent. */
export interface SentBytes {
  /** Hex. */
  readonly mesh: string
  /** Hex. */
  readonly device: string
  /** Days since 1970. */
  readonly day: number
  readonly bytes: number
}

/** Rows that go in one statement of a large removal: a few seconds of work on a slow disk. */
const removedAtOnce = 5_000

/** Every method is one transaction, or says that it is not; all throw HavenError `STORE_FAILED`, `DISK_FULL`, `STOPPED`. */
export class ServerTables {
  readonly #database: PostgresDatabase

  constructor(database: PostgresDatabase) {
    this.#database = database
  }

  /** The server's keys, sealed or not: opaque here. The first who brings some decides; everybody gets the same. */
  keys(make: () => Uint8Array): Promise<Uint8Array> {
    return this.#database.transaction(async (transaction) => {
      const found = await transaction.run<{ value: Uint8Array }>(sql.value, ['keys'])
      if (found.rows[0] !== undefined) return found.rows[0].value
      const made = make()
      await transaction.run(sql.addValue, ['keys', made])
      return made
    })
  }

  /** undefined: no process has made any yet. */
  async existingKeys(): Promise<Uint8Array | undefined> {
    return this.#value('keys')
  }

  /** Where devices reach the server, as it last said. */
  async address(): Promise<string | undefined> {
    const value = await this.#value('address')
    return value && Buffer.from(value).toString()
  }

  async setAddress(address: string): Promise<void> {
    await this.#database.run(sql.setValue, ['address', Buffer.from(address)])
  }

  /** Ids of the meshes that have a store. */
  async meshes(): Promise<string[]> {
    const { rows } = await this.#database.run<{ mesh: Uint8Array }>(sql.meshes, [false])
    return rows.map(({ mesh }) => bytesToHex(mesh))
  }

  /** Makes room for a mesh, where it is not there yet. A removal that did not come to its end is ended first. */
  async addMesh(mesh: string): Promise<void> {
    const id = hexToBytes(mesh)
    const leftover = await this.#database.run<{ mesh: Uint8Array }>(sql.meshes, [true])
    if (leftover.rows.some((row) => bytesToHex(row.mesh) === mesh))
      await this.removeMesh(mesh, mesh)
    await this.#database.run(sql.addMesh, [id])
  }

  /**
   * Removes a mesh and everything of it; what a process still wants to write for it fails from then on. In many transactions: who is
   * interrupted does it again.
   *
   * @param instead - what the codes that it came in with are bound to from then on: they are used up
   */
  async removeMesh(mesh: string, instead: string): Promise<void> {
    const id = hexToBytes(mesh)
    await this.#database.run(sql.rebindInvitations, [id, hexToBytes(instead)])
    await this.#database.run(sql.startRemoving, [id])
    for (const table of [sql.removeCommits, sql.removeRows]) {
      while ((await this.#database.run(table, [id, removedAtOnce])).count > 0);
    }
    await this.#database.transaction(async (transaction) => {
      for (const table of sql.removeRest) await transaction.run(table, [id])
    })
  }

  /** Ids of meshes whose removal was begun and did not come to its end. */
  async unfinishedRemovals(): Promise<string[]> {
    const { rows } = await this.#database.run<{ mesh: Uint8Array }>(sql.meshes, [true])
    return rows.map(({ mesh }) => bytesToHex(mesh))
  }

  /** @returns the mesh that the code is bound to: this one, or the one that came first */
  bindInvitation(nonce: string, mesh: string): Promise<string> {
    return this.#database.transaction(async (transaction) => {
      await transaction.run(sql.bindInvitation, [nonce, hexToBytes(mesh)])
      const { rows } = await transaction.run<{ mesh: Uint8Array }>(sql.invitation, [nonce])
      return bytesToHex(rows[0]!.mesh)
    })
  }

  async meshOfInvitation(nonce: string): Promise<string | undefined> {
    const { rows } = await this.#database.run<{ mesh: Uint8Array }>(sql.invitation, [nonce])
    return rows[0] && bytesToHex(rows[0].mesh)
  }

  /** All codes that were used, and the mesh that each is bound to. */
  async invitations(): Promise<{ nonce: string; mesh: string }[]> {
    const { rows } = await this.#database.run<{ nonce: string; mesh: Uint8Array }>(sql.invitations)
    return rows.map(({ nonce, mesh }) => ({ nonce, mesh: bytesToHex(mesh) }))
  }

  /** Adds a secret if the newest is older than `maxAgeMs`, or there is none: of several processes one does. */
  async renewChannelSecret(secret: ChannelSecret, maxAgeMs: number): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      const { rows } = await transaction.run<{ newest: number | null }>(sql.newestSecret)
      const newest = rows[0]?.newest ?? undefined
      if (newest !== undefined && newest > secret.createdMs - maxAgeMs) return
      await transaction.run(sql.addSecret, [secret.id, secret.secret, secret.createdMs])
    })
  }

  /** Those made after a moment, the newest first. */
  async channelSecrets(afterMs: number): Promise<ChannelSecret[]> {
    const { rows } = await this.#database.run<ChannelSecret>(sql.secrets, [afterMs])
    return rows
  }

  async deleteChannelSecrets(untilMs: number): Promise<void> {
    await this.#database.run(sql.deleteSecrets, [untilMs])
  }

  /** @returns whether it was new: not noted before, or its time had run out */
  async noteRequest(id: Uint8Array, times: { nowMs: number; expiresMs: number }): Promise<boolean> {
    // Whose row it is tells a second attempt, after the connection broke, that the first has succeeded.
    const claim = randomBytes(16)
    const { count } = await this.#database.run(sql.noteRequest, [
      id,
      times.expiresMs,
      claim,
      times.nowMs,
    ])
    return count > 0
  }

  async deleteExpiredRequests(nowMs: number): Promise<void> {
    await this.#database.run(sql.deleteRequests, [nowMs])
  }

  /** May count twice what is added in the moment in which the connection breaks. */
  async addSentBytes(amounts: readonly SentBytes[]): Promise<void> {
    const sums = new Map<string, SentBytes>()
    for (const amount of amounts) {
      const key = `${amount.mesh} ${amount.device} ${amount.day}`
      sums.set(key, { ...amount, bytes: amount.bytes + (sums.get(key)?.bytes ?? 0) })
    }
    const rows = [...sums.values()]
    if (rows.length === 0) return
    await this.#database.run(sql.addSent, [
      byteaArray(rows.map(({ mesh }) => hexToBytes(mesh))),
      byteaArray(rows.map(({ device }) => hexToBytes(device))),
      bigintArray(rows.map(({ day }) => day)),
      bigintArray(rows.map(({ bytes }) => bytes)),
    ])
  }

  /** What all processes together sent the devices of a mesh on one day, by device (hex). */
  async sentBytes(mesh: string, day: number): Promise<Map<string, number>> {
    const { rows } = await this.#database.run<{ device: Uint8Array; bytes: number }>(sql.sent, [
      hexToBytes(mesh),
      day,
    ])
    return new Map(rows.map(({ device, bytes }) => [bytesToHex(device), bytes]))
  }

  async deleteSentBytes(beforeDay: number): Promise<void> {
    await this.#database.run(sql.deleteSent, [beforeDay])
  }

  async #value(name: string): Promise<Uint8Array | undefined> {
    const { rows } = await this.#database.run<{ value: Uint8Array }>(sql.value, [name])
    return rows[0]?.value
  }
}

const sql = {
  value: statement('SELECT value FROM server_values WHERE name = $1'),
  addValue: statement('INSERT INTO server_values (name, value) VALUES ($1, $2)'),
  setValue: statement(
    `INSERT INTO server_values (name, value) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
  ),
  meshes: statement('SELECT mesh FROM meshes WHERE removing = $1 ORDER BY mesh'),
  addMesh: statement(
    `INSERT INTO meshes (mesh, revision, removing) VALUES ($1, 0, false)
     ON CONFLICT (mesh) DO NOTHING`,
  ),
  startRemoving: statement('UPDATE meshes SET removing = true WHERE mesh = $1'),
  removeCommits: statement(
    `DELETE FROM commits WHERE mesh = $1 AND (feed, seq, id8) IN
       (SELECT feed, seq, id8 FROM commits WHERE mesh = $1 ORDER BY feed, seq, id8 LIMIT $2)`,
  ),
  removeRows: statement(
    `DELETE FROM store_rows WHERE mesh = $1 AND key IN
       (SELECT key FROM store_rows WHERE mesh = $1 ORDER BY key LIMIT $2)`,
  ),
  removeRest: ['usage', 'sent_bytes', 'meshes'].map((table) =>
    statement(`DELETE FROM ${table} WHERE mesh = $1`),
  ),
  bindInvitation: statement(
    'INSERT INTO invitations (nonce, mesh) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING',
  ),
  rebindInvitations: statement('UPDATE invitations SET mesh = $2 WHERE mesh = $1'),
  invitation: statement('SELECT mesh FROM invitations WHERE nonce = $1'),
  invitations: statement('SELECT nonce, mesh FROM invitations ORDER BY nonce'),
  newestSecret: statement('SELECT max(created_ms) AS newest FROM channel_secrets'),
  addSecret: statement(
    `INSERT INTO channel_secrets (id, secret, created_ms) VALUES ($1, $2, $3)
     ON CONFLICT (id) DO NOTHING`,
  ),
  secrets: statement(
    `SELECT id, secret, created_ms AS "createdMs" FROM channel_secrets
     WHERE created_ms > $1 ORDER BY created_ms DESC, id`,
  ),
  deleteSecrets: statement('DELETE FROM channel_secrets WHERE created_ms <= $1'),
  noteRequest: statement(
    `INSERT INTO seen_requests (id, expires_ms, claim) VALUES ($1, $2, $3)
     ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms, claim = excluded.claim
     WHERE seen_requests.expires_ms <= $4 OR seen_requests.claim = excluded.claim`,
  ),
  deleteRequests: statement('DELETE FROM seen_requests WHERE expires_ms <= $1'),
  addSent: statement(
    `INSERT INTO sent_bytes (mesh, device, day, bytes)
     SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[])
     ON CONFLICT (mesh, device, day) DO UPDATE SET bytes = sent_bytes.bytes + excluded.bytes`,
  ),
  sent: statement('SELECT device, bytes FROM sent_bytes WHERE mesh = $1 AND day = $2'),
  deleteSent: statement('DELETE FROM sent_bytes WHERE day < $1'),
}
