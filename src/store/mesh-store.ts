/** What a running member needs of its store, whatever it is made of. */
import type { HavenError } from '../core/errors.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import type { Hole } from './feed-check.ts'
import type { Place } from './feed-walk.ts'
import type { OpenReport } from './open-database.ts'

export interface MeshStore extends CommitStore {
  readonly opening: OpenReport
  /** Why every batch fails until the store is opened again; reading goes on. */
  readonly failure: HavenError | undefined
  /** The end of the unbroken chain of intact commits that begins after `from` (or with the feed). */
  tipOf(feed: string, from?: Place): Promise<Place>
  /**
   * Checks the last commits of every feed, for the start: places where commits are missing between commits, or where one
   * was that is gone. A replica that holds only a part of a feed finds its floors among them.
   */
  verifyTails(): Promise<Hole[]>
  /**
   * Checks everything that was not checked before: file checksums, then every feed from where the last check ended.
   * Takes its time, and goes on at the next call after it was aborted.
   */
  verifyInBackground(signal: AbortSignal, onHole: (hole: Hole) => void): Promise<VerifyReport>
}

export interface VerifyReport {
  /** Aborted otherwise. */
  readonly isComplete: boolean
  /** Files are damaged: the next start makes the database anew. */
  readonly filesDamaged: boolean
  readonly commits: number
  readonly holes: number
}
