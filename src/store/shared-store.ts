/** A store that several processes write to at once, each with a copy of what it needs at hand in memory. */
import type { StoredDescriptor } from '../feed/commit-store.ts'
import type { MeshStore } from './mesh-store.ts'

/** What is in the store and was not put there by this process in this form. Each value is the newest. */
export interface StoreNews {
  readonly descriptors: readonly StoredDescriptor[]
  /** Whole chains ({@link import('../feed/chain.ts').FeedChain}, encoded). */
  readonly chains: readonly { readonly feed: string; readonly value: Uint8Array }[]
  readonly metas: readonly { readonly name: string; readonly value: Uint8Array }[]
}

/** The newest announcement of the server that the processes are. */
export interface SharedAnnouncement {
  readonly number: number
  readonly bytes: Uint8Array
}

/**
 * Batches merge: what is put in is a commit more than what the other processes have put in meanwhile. A commit that is there already is not
 * written again, and the chain of a feed becomes what follows from all its commits, whatever the batch says that it is; where that is something else, it is
 * news. A batch goes in whole or not at all, is tried again while the database says that it should be, and while it can't be reached for a short time.
 */
export interface SharedStore extends MeshStore {
  /**
   * Looks whether other processes have stored something. What was committed before the call is in the news when it resolves. Overlapping
   * calls share the work where they can.
   *
   * @throws HavenError `STORE_FAILED`
   */
  refresh(): Promise<void>

  /** What has come since the last call, by `batch` or `refresh`; undefined: nothing. */
  takeNews(): StoreNews | undefined

  /** As last seen. */
  readonly announcement: SharedAnnouncement | undefined

  /**
   * Makes this the newest announcement, if nothing has been stored, and no other announced, since the last `refresh` or `batch` of this
   * process: what it says of the clock is then true of one moment, and numbers go up with it. One transaction.
   *
   * @returns false: something has, or there is news that was not taken; refresh, and make another one
   */
  announce(announcement: SharedAnnouncement): Promise<boolean>

  /** What each author has here: counted by the commits that were really written, in the transactions that write them. As last seen. */
  readonly usage: ReadonlyMap<string, { readonly commits: number; readonly bytes: number }>
}
