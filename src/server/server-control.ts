/** What can be done with a server's meshes from outside: by a command, through the socket of the server that runs, or on its home where none does. */
import { systemRandom } from '../device/system.ts'
import { meshParts } from './backup/mesh-parts.ts'
import type { PartContent } from './backup/part-file.ts'
import { summaryOf } from './mesh-summary.ts'
import type { MeshSummary, UsedMesh } from './mesh-summary.ts'

export interface ServerControl {
  meshes(): Promise<MeshSummary[]>
  /** Ends its sessions, and removes all that is here of it. @throws HavenError `NOT_FOUND` */
  remove(mesh: string): Promise<void>
  /** What a backup has of all meshes, one after the other; it ends well only with all that there is. */
  backup(): AsyncIterable<PartContent>
}

/** Whoever has the stores open. */
export interface MeshAccess {
  readonly storeKey: Uint8Array
  /** Undefined: not known here. */
  readonly quotaBytes: number | undefined
  list(): Promise<string[]>
  /** @throws HavenError why it can't be read now */
  use(mesh: string): Promise<UsedMesh>
  remove(mesh: string): Promise<void>
}

export class MeshControl implements ServerControl {
  readonly #access: MeshAccess

  constructor(access: MeshAccess) {
    this.#access = access
  }

  async meshes(): Promise<MeshSummary[]> {
    const found: MeshSummary[] = []
    for (const mesh of await this.#access.list()) {
      const { quotaBytes } = this.#access
      found.push(await this.#using(mesh, (used) => summaryOf(mesh, used, quotaBytes)))
    }
    return found
  }

  remove(mesh: string): Promise<void> {
    return this.#access.remove(mesh)
  }

  async *backup(): AsyncGenerator<PartContent> {
    const { storeKey } = this.#access
    for (const mesh of await this.#access.list()) {
      const used = await this.#access.use(mesh)
      try {
        yield* meshParts(used.store, mesh, { storeKey, random: systemRandom })
      } finally {
        await used.release()
      }
    }
  }

  async #using<T>(mesh: string, work: (used: UsedMesh) => Promise<T>): Promise<T> {
    const used = await this.#access.use(mesh)
    try {
      return await work(used)
    } finally {
      await used.release()
    }
  }
}
