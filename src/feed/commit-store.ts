/**
 * The port of the store: what feeds, sync and records need of a disk. `src/store/` implements it over LevelDB.
 *
 * Ids are lower-case hex where they are keys of maps, bytes where they are hashed or sent.
 */

/** A commit as it is stored and sent; `id` has been checked against header and ciphertext by whoever made this value. */
export interface StoredCommit {
  readonly feed: string
  readonly seq: number
  /** 32 bytes. */
  readonly id: Uint8Array
  /** 130 bytes, docs/protocol.md. */
  readonly header: Uint8Array
  readonly ciphertext: Uint8Array
  /** Absent where the sender left it out because a later commit of the run is signed. */
  readonly signature: Uint8Array | undefined
}

/** A feed descriptor with its signature, verified. */
export interface StoredDescriptor {
  readonly feed: string
  readonly bytes: Uint8Array
}

/**
 * One change of a batch. `value: undefined` deletes. Rows that derive from plaintext (`sealed: true` kinds) are sealed
 * under the store key before they reach the disk, and their names are hashed with a key.
 */
export type StoreChange =
  | { readonly kind: 'descriptor'; readonly descriptor: StoredDescriptor }
  | { readonly kind: 'commit'; readonly commit: StoredCommit }
  /** What the owner knows of a feed's chain (segments, tips): opaque here. */
  | { readonly kind: 'chain'; readonly feed: string; readonly value: Uint8Array | undefined }
  /** A named value of the device that holds no plaintext of records: settings, announcements, counters. */
  | {
      readonly kind: 'meta'
      readonly name: string
      readonly value: Uint8Array | undefined
      /** Where several processes write: a value with a greater number stays. */
      readonly order?: number
    }
  /** A named secret or value that derives from plaintext: epoch keys, collection sums. Sealed. */
  | { readonly kind: 'secret'; readonly name: string; readonly value: Uint8Array | undefined }
  /** Derived state of a record. Sealed; its name on disk is an HMAC of collection and id. */
  | {
      readonly kind: 'record'
      readonly collection: string
      readonly id: string
      readonly value: Uint8Array | undefined
    }
  /** Derived: the context of a commit. Sealed. */
  | {
      readonly kind: 'context'
      readonly feed: string
      readonly seq: number
      readonly id: Uint8Array
      readonly value: Uint8Array | undefined
    }

/** A range of one feed's commits: after < seq ≤ upTo. All branches of a forked feed are in it. */
export interface CommitRange {
  readonly feed: string
  readonly after: number
  readonly upTo?: number
  /** Stops after the seq that reaches this many bytes of ciphertext, with all that is held there; at least one commit comes. */
  readonly maxBytes?: number
}

export interface CommitStore {
  /**
   * Applies all changes or none, and resolves when they are on the disk (fsynced; `sync: false` for what may be lost
   * and rebuilt). Batches complete in the order of the calls; after one has failed, all later ones fail too.
   *
   * @throws HavenError `DISK_FULL`, `STORE_FAILED`, `STOPPED`
   */
  batch(changes: readonly StoreChange[], options?: { readonly sync?: boolean }): Promise<void>

  /** In the order of seq. A commit whose bytes do not match its id is left out, and reported as damage. */
  commits(range: CommitRange): Promise<StoredCommit[]>
  commit(feed: string, seq: number, idPrefix: Uint8Array): Promise<StoredCommit | undefined>
  /** Ids (the first 8 bytes) of the commits held at one place: several where the feed has forked. */
  idsAt(feed: string, seq: number): Promise<Uint8Array[]>

  descriptors(): Promise<StoredDescriptor[]>
  chains(): Promise<{ feed: string; value: Uint8Array }[]>

  meta(name: string): Promise<Uint8Array | undefined>
  metas(prefix: string): Promise<{ name: string; value: Uint8Array }[]>
  secret(name: string): Promise<Uint8Array | undefined>
  secrets(prefix: string): Promise<{ name: string; value: Uint8Array }[]>
  /** Removes all secrets of a group, which is the name up to the first slash; damaged ones too. */
  clearSecrets(group: string): Promise<void>

  record(collection: string, id: string): Promise<Uint8Array | undefined>
  /** In the order of `ids`. */
  records(collection: string, ids: readonly string[]): Promise<(Uint8Array | undefined)[]>
  /** All records of a collection, in no particular order; values are those of one moment. */
  allRecords(collection: string): AsyncIterable<Uint8Array>
  /** Removes derived rows (records of a collection; contexts of a feed), to rebuild them. */
  clearRecords(collection: string): Promise<void>
  clearContexts(feed: string): Promise<void>
  contexts(feed: string): AsyncIterable<{ seq: number; id: Uint8Array; value: Uint8Array }>

  close(): Promise<void>
}
