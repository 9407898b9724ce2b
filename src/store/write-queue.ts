import { HavenError } from '../core/errors.ts'

export interface WriteGroup<Operation> {
  readonly operations: Operation[]
  readonly bytes: number
  readonly sync: boolean
}

/** Writes that waited for the same fsync share the next one, up to this many bytes: LevelDB's write buffer. */
const groupBytes = 4 * 1024 * 1024

type Job<Operation> =
  | ({ readonly kind: 'write' } & WriteGroup<Operation> & Settle)
  | ({ readonly kind: 'task'; readonly task: () => Promise<void> } & Settle)

interface Settle {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Performs writes in the order of the calls. After one has failed, all later ones fail with its cause: whoever counts
 * on the order never finds a later write without an earlier one.
 */
export class WriteQueue<Operation> {
  readonly #write: (group: WriteGroup<Operation>) => Promise<void>
  readonly #describe: (error: unknown) => Promise<HavenError>
  readonly #jobs: Job<Operation>[] = []
  #failure: HavenError | undefined
  #working: Promise<void> | undefined

  constructor(
    write: (group: WriteGroup<Operation>) => Promise<void>,
    describe: (error: unknown) => Promise<HavenError>,
  ) {
    this.#write = write
    this.#describe = describe
  }

  get failure(): HavenError | undefined {
    return this.#failure
  }

  /** From now on everything fails with this error. */
  fail(failure: HavenError): void {
    this.#failure ??= failure
  }

  write(group: WriteGroup<Operation>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add({ kind: 'write', ...group, resolve, reject })
    })
  }

  /** Runs something else that changes the database, in its turn. */
  run(task: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add({ kind: 'task', task, resolve, reject })
    })
  }

  /** Resolves when everything that was asked for before is settled. */
  async settled(): Promise<void> {
    await this.#working
  }

  #add(job: Job<Operation>): void {
    if (this.#failure !== undefined) {
      job.reject(this.#failure)
      return
    }
    this.#jobs.push(job)
    this.#working ??= this.#work()
  }

  async #work(): Promise<void> {
    // Calls of the same turn get into the first write together.
    await Promise.resolve()
    while (this.#jobs.length > 0) {
      const group = this.#takeGroup()
      try {
        if (this.#failure !== undefined) throw this.#failure
        const [first] = group
        await (first?.kind === 'task' ? first.task() : this.#write(joined(group)))
        for (const { resolve } of group) resolve()
      } catch (error) {
        this.#failure ??= await this.#describe(error)
        for (const { reject } of [...group, ...this.#jobs.splice(0)]) reject(this.#failure)
      }
    }
    this.#working = undefined
  }

  /** One task, or as many writes from the front as go into one write. */
  #takeGroup(): Job<Operation>[] {
    let count = 0
    let bytes = 0
    for (const job of this.#jobs) {
      if (count > 0 && (job.kind === 'task' || bytes + job.bytes > groupBytes)) break
      count++
      if (job.kind === 'task') break
      bytes += job.bytes
    }
    return this.#jobs.splice(0, count)
  }
}

function joined<Operation>(group: Job<Operation>[]): WriteGroup<Operation> {
  const writes = group.filter((job) => job.kind === 'write')
  if (writes.length === 1) return writes[0]!
  return {
    operations: writes.flatMap(({ operations }) => operations),
    bytes: writes.reduce((sum, { bytes }) => sum + bytes, 0),
    sync: writes.some(({ sync }) => sync),
  }
}
