/** The statements of one mesh's store. `$1` is always the mesh. */
import { statement } from './statement.ts'

export const sql = {
  /** The first of every transaction that writes: of several writers of a mesh one comes first, and all know how often was written. */
  nextRevision: statement(
    `UPDATE meshes SET revision = revision + 1 WHERE mesh = $1 AND removing = false
     RETURNING revision`,
  ),
  mesh: statement(
    `SELECT revision, announced_number AS number, announcement FROM meshes
     WHERE mesh = $1 AND removing = false`,
  ),
  announce: statement(
    `UPDATE meshes SET announced_number = $2, announcement = $3
     WHERE mesh = $1 AND removing = false AND revision = $4
       AND announced_number IS NOT DISTINCT FROM $5::bigint`,
  ),
  addCommits: statement(
    `INSERT INTO commits (mesh, feed, seq, id8, value, bytes, ciphertext_bytes, arrived_ms)
     SELECT $1::bytea, c.feed, c.seq, c.id8, c.value, c.bytes, c.ciphertext_bytes, $8::bigint
     FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bigint[])
       AS c(feed, seq, id8, value, bytes, ciphertext_bytes)
     ON CONFLICT (mesh, feed, seq, id8) DO NOTHING
     RETURNING feed, seq, id8`,
  ),
  commitsBeside: statement(
    `SELECT c.feed, c.seq, c.id8, c.value FROM unnest($2::bytea[], $3::bigint[]) AS p(feed, seq)
     JOIN commits c ON c.mesh = $1 AND c.feed = p.feed AND c.seq = p.seq`,
  ),
  replaceCommit: statement(
    'UPDATE commits SET value = $5 WHERE mesh = $1 AND feed = $2 AND seq = $3 AND id8 = $4',
  ),
  commitsIn: statement(
    `SELECT seq, id8, value FROM commits WHERE mesh = $1 AND feed = $2 AND seq > $3 AND seq <= $4
     ORDER BY seq, id8`,
  ),
  sizesAfter: statement(
    `SELECT seq, ciphertext_bytes AS bytes FROM commits
     WHERE mesh = $1 AND feed = $2 AND seq > $3 AND seq <= $4 ORDER BY seq, id8 LIMIT $5`,
  ),
  commit: statement(
    'SELECT value FROM commits WHERE mesh = $1 AND feed = $2 AND seq = $3 AND id8 = $4',
  ),
  idsAt: statement(
    'SELECT id8 FROM commits WHERE mesh = $1 AND feed = $2 AND seq = $3 ORDER BY id8',
  ),
  feedAfter: statement(
    'SELECT feed FROM commits WHERE mesh = $1 AND feed > $2 ORDER BY feed LIMIT 1',
  ),
  setRows: statement(
    `INSERT INTO store_rows (mesh, key, value, ord, revision)
     SELECT $1::bytea, r.key, r.value, r.ord, $5::bigint
     FROM unnest($2::bytea[], $3::bytea[], $4::bigint[]) AS r(key, value, ord)
     ON CONFLICT (mesh, key) DO UPDATE
       SET value = excluded.value, ord = excluded.ord, revision = excluded.revision
       WHERE store_rows.ord IS NULL OR excluded.ord IS NULL OR store_rows.ord <= excluded.ord
     RETURNING key`,
  ),
  addRow: statement(
    `INSERT INTO store_rows (mesh, key, value, revision) VALUES ($1, $2, $3, 0)
     ON CONFLICT (mesh, key) DO NOTHING`,
  ),
  setOwnRow: statement(
    `INSERT INTO store_rows (mesh, key, value, revision) VALUES ($1, $2, $3, 0)
     ON CONFLICT (mesh, key) DO UPDATE SET value = excluded.value`,
  ),
  deleteRows: statement('DELETE FROM store_rows WHERE mesh = $1 AND key = ANY($2::bytea[])'),
  deleteRange: statement('DELETE FROM store_rows WHERE mesh = $1 AND key >= $2 AND key < $3'),
  rows: statement('SELECT key, value FROM store_rows WHERE mesh = $1 AND key = ANY($2::bytea[])'),
  rowsIn: statement(
    `SELECT key, value FROM store_rows WHERE mesh = $1 AND key >= $2 AND key < $3
     ORDER BY key LIMIT $4`,
  ),
  /** With what was put there since: descriptors, chains and metas are what others want to know. */
  rowsSince: statement(
    `SELECT key, value FROM store_rows WHERE mesh = $1 AND revision > $2 AND revision < $3
     ORDER BY key`,
  ),
  usage: statement('SELECT device, commits, bytes FROM usage WHERE mesh = $1'),
  addUsage: statement(
    `INSERT INTO usage (mesh, device, commits, bytes)
     SELECT $1::bytea, u.device, u.commits, u.bytes
     FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS u(device, commits, bytes)
     ON CONFLICT (mesh, device) DO UPDATE
       SET commits = usage.commits + excluded.commits, bytes = usage.bytes + excluded.bytes`,
  ),
} as const
