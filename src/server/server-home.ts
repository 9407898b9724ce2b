/** Where a server keeps what it is and what it holds: a directory of its own, or a database that several processes share. */
import type { Damage } from '../store/damage.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { SentBytes } from './sent-bytes.ts'
import type { RequestBook } from './request-book.ts'
import type { ServerSecrets } from './server-secrets.ts'
import type { MeshUsage } from './usage.ts'

/** What codes are bound to whose mesh was removed: they stay used, and nobody comes in with them again. */
export const removedMesh = '0'.repeat(32)

/** The store of one mesh, opened. */
export interface MeshShelf {
  readonly store: MeshStore
  /** The same, where other processes work on it too. */
  readonly shared: SharedStore | undefined
  /** What the mesh takes of this server; true after each batch. */
  readonly usage: MeshUsage
  /** What its devices have sent. To be closed before the store. */
  readonly sent: SentBytes
}

export interface ServerHome {
  readonly secrets: ServerSecrets
  /** Other processes of this server may be at work. */
  readonly isShared: boolean

  /** For what a server seals to itself, 32 bytes each: the first is used, any is taken. */
  channelSecrets(): readonly Uint8Array[]

  /** Which questions have been asked, of whichever process. */
  readonly requests: RequestBook

  /** Ids of the meshes that are registered. */
  meshes(): Promise<string[]>

  /** Makes room for a mesh, where there is none yet. Durable when it resolves. */
  addMesh(mesh: string): Promise<void>

  /**
   * Opens the store of a mesh.
   *
   * @throws HavenError of the store; `SERVER_UNKNOWN_MESH` where processes share the home and one has removed it
   */
  openMesh(mesh: string, onDamage: (damage: Damage) => void): Promise<MeshShelf>

  /** The mesh that a code was used for. */
  meshOfInvitation(nonce: string): Promise<string | undefined>

  /** Durable when it resolves. @returns the mesh that the code is for, which was there first */
  bindInvitation(nonce: string, mesh: string): Promise<string>

  /** All codes that were used, and for which mesh; of one that was removed since: {@link removedMesh}. */
  usedInvitations(): Promise<readonly { readonly nonce: string; readonly mesh: string }[]>

  /**
   * Removes all that is here of a mesh that nobody has open: durably when it resolves. Its codes stay used. Harmless to repeat.
   *
   * @throws HavenError `NOT_FOUND`
   */
  removeMesh(mesh: string): Promise<void>

  /** Where devices reach this server, as it last said. @throws HavenError `NOT_FOUND` */
  address(): Promise<string>
  writeAddress(address: string): Promise<void>

  /** Whether it can be worked with now. */
  isReachable(): Promise<boolean>

  close(): Promise<void>
}
