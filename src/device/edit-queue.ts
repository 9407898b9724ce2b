/**
 * Edits of the documents of one record on their way into it: in their order, together where several wait, and none lost.
 *
 * What can't be stored for good is dropped with all that was typed after it, since that builds on it. What can't be stored for the
 * moment is kept.
 */
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { ownEdit, Renames } from '../records/own-edit.ts'
import type { FreeEdit, OwnEdit } from '../records/own-edit.ts'
import type { RecordState, Writer } from '../records/record-state.ts'
import { documentClocks } from '../records/settle-free.ts'

export interface EditProblem {
  readonly error: HavenError
  /** The edits are gone from the documents, which show the record again; otherwise they are kept, and tried again. */
  readonly refused: boolean
}

export interface EditQueueOptions {
  /** Calls `edit` with the record as it is when its turn comes, and resolves when what that gives is durable. */
  readonly write: (
    edit: (state: RecordState, writer: Writer) => FreeEdit | undefined,
  ) => Promise<unknown>
  /** Whether structs of a client id are another device's, who writes them. */
  readonly isOthers: () => (clientId: number) => boolean
  /** Some were stored. `renamed`: under other ids than they have in the documents. */
  readonly stored: (renamed: boolean) => void
  readonly problem: (problem: EditProblem) => void
  /** Something has been done, or everything. */
  readonly progressed: () => void
}

/** What no later try would change. */
const refusals = ['NOT_ALLOWED', 'INVALID_VALUE', 'TOO_LARGE'] as const

/** After these nothing is written before the store has been opened again. */
const storeFailures = ['DISK_FULL', 'STORE_FAILED'] as const

interface Attempt {
  /** So many of the edits that wait. */
  count: number
  edit: OwnEdit | undefined
  clientId: number
  /** It builds on what is not in the record yet. */
  waits: boolean
}

export class EditQueue {
  readonly #options: EditQueueOptions
  #waiting: Uint8Array[] = []
  #renames = Renames.none
  /** After a refusal one by one, to find the one that can't be stored. */
  #oneByOne = false
  /** Was on its way when the store failed. */
  #inDoubt: Attempt | undefined
  /** Waits for something to change before the next try. */
  #blocked = false
  #problem: string | undefined
  #work: Promise<void> | undefined
  /** Edits so far, and how many of them are stored or refused. */
  #pushed = 0
  #done = 0

  constructor(options: EditQueueOptions) {
    this.#options = options
  }

  /** What is not durable yet. */
  get updates(): readonly Uint8Array[] {
    return this.#waiting
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  get isAtWork(): boolean {
    return this.#work !== undefined
  }

  /** So many were ever pushed, and so many of these are stored or refused. */
  get counts(): { readonly pushed: number; readonly done: number } {
    return { pushed: this.#pushed, done: this.#done }
  }

  push(update: Uint8Array): void {
    this.#waiting.push(update)
    this.#pushed++
    this.unblock()
  }

  /** Something has changed: what could not be stored is tried again. */
  unblock(): void {
    this.#blocked = false
    this.#go()
  }

  /** The documents have begun again: they name everything as the record does. */
  forgetRenames(): void {
    this.#renames = Renames.none
  }

  /** The store has been opened again: whether what was on its way has been stored follows from the record. */
  settleDoubt(state: RecordState): void {
    const attempt = this.#inDoubt
    this.#inDoubt = undefined
    if (attempt?.edit?.edit === undefined) return
    if (ownClock(state, attempt.clientId) >= attempt.edit.end) this.#stored(attempt)
  }

  report(error: unknown, refused: boolean): void {
    const known = isHavenError(error)
      ? error
      : new HavenError('INTERNAL', 'An edit of a document could not be stored.', { cause: error })
    // Once, however often it is tried again.
    if (!refused && this.#problem === known.code) return
    this.#problem = refused ? undefined : known.code
    this.#options.problem({ error: known, refused })
  }

  get #mayWrite(): boolean {
    return this.#waiting.length > 0 && !this.#blocked && this.#inDoubt === undefined
  }

  #go(): void {
    if (!this.#mayWrite) return
    this.#work ??= this.#writeAll().finally(() => {
      this.#work = undefined
      this.#options.progressed()
      this.#go()
    })
  }

  async #writeAll(): Promise<void> {
    // What is typed in one go is written in one go.
    await Promise.resolve()
    while (this.#mayWrite) {
      await this.#write()
      this.#options.progressed()
    }
  }

  async #write(): Promise<void> {
    const attempt: Attempt = { count: 0, edit: undefined, clientId: 0, waits: false }
    try {
      await this.#options.write((state, writer) => this.#attempt(state, writer, attempt))
    } catch (error) {
      this.#failed(error, attempt)
      return
    }
    if (attempt.waits) this.#blocked = true
    else this.#stored(attempt)
  }

  #attempt(state: RecordState, writer: Writer, attempt: Attempt): FreeEdit | undefined {
    const edits = this.#oneByOne ? this.#waiting.slice(0, 1) : this.#waiting
    const own = {
      clientId: writer.freeClientId,
      nextClock: state.writers.get(writer.writer)?.free?.nextClock ?? 0,
    }
    const edit = ownEdit(edits, own, {
      renames: this.#renames,
      isOthers: this.#options.isOthers(),
    })
    // What it stands beside came into the document by another way: it can't be told before that is in the record.
    const known = documentClocks(state)
    const waits = [...edit.references].some(([client, end]) => (known.get(client) ?? 0) < end)
    if (edit.edit !== undefined && edit.edit.update.length > limits.updateBytes) {
      throw new HavenError(
        'TOO_LARGE',
        'What is put into a document at once may have 8 MiB. Put it in by parts, or store a large file elsewhere.',
      )
    }
    Object.assign(attempt, { count: edits.length, edit, clientId: own.clientId, waits })
    return waits ? undefined : edit.edit
  }

  #stored({ count, edit }: Attempt): void {
    this.#waiting = this.#waiting.slice(count)
    this.#done += count
    this.#inDoubt = undefined
    this.#problem = undefined
    if (this.isEmpty) this.#oneByOne = false
    const renamed = edit !== undefined && !edit.renames.isEmpty
    if (renamed) this.#renames = this.#renames.and(edit.renames)
    this.#options.stored(renamed)
  }

  #failed(error: unknown, attempt: Attempt): void {
    if (!refusals.some((code) => isHavenError(error, code))) {
      // It may have got to the disk all the same: that is seen when the store is open again.
      const isInDoubt = storeFailures.some((code) => isHavenError(error, code))
      if (isInDoubt && attempt.edit !== undefined) this.#inDoubt = attempt
      this.#blocked = true
      this.report(error, false)
      return
    }
    if (this.#waiting.length > 1 && !this.#oneByOne) {
      this.#oneByOne = true
      return
    }
    this.#done += this.#waiting.length
    this.#waiting = []
    this.#oneByOne = false
    this.report(error, true)
  }
}

/** Where the structs end that this device has in the record under a client id. */
export function ownClock(state: RecordState, clientId: number): number {
  for (const { free, writer, feed } of state.writers.values()) {
    if (free?.clientId === clientId && writer === feed) return free.nextClock
  }
  return 0
}
