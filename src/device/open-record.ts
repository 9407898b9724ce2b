/** A record as a form has it: what it showed, and what a person changes in it. */
import { HavenError } from '../core/errors.ts'
import { nothingSeen } from '../records/record-version.ts'
import { applyTextChanges } from '../records/text-changes.ts'
import { checkedChange } from '../records/text.ts'
import type {
  DeviceOperations,
  JsonText,
  OpenRecord,
  RecordChange,
  RecordDraft,
  RecordVersionToken,
  RecordView,
  WriteResult,
} from './api.ts'

type Operations = Pick<DeviceOperations, 'get' | 'write'>

/** Of a running device, or of one that is reached over its local socket. */
export class OperationsRecord implements OpenRecord {
  readonly collection: string
  readonly id: string
  readonly #operations: Operations
  #view: RecordView | undefined

  private constructor(operations: Operations, collection: string, id: string) {
    this.#operations = operations
    this.collection = collection
    this.id = id
  }

  /** A record that is not there yet can be opened too: the first save creates it. */
  static async open(operations: Operations, collection: string, id: string): Promise<OpenRecord> {
    const record = new OperationsRecord(operations, collection, id)
    await record.refresh()
    return record
  }

  get view(): RecordView | undefined {
    return this.#view
  }

  async refresh(): Promise<RecordView | undefined> {
    try {
      this.#view = await this.#operations.get(this.collection, this.id)
    } catch (error) {
      if (!(error instanceof HavenError) || error.code !== 'NOT_FOUND') throw error
      this.#view = undefined
    }
    return this.#view
  }

  edit(): RecordDraft {
    return new OperationsDraft(this.#view, async (changes, options) => {
      const written = await this.#operations.write(this.collection, this.id, changes, options)
      // It is written, whatever becomes of looking at it: a draft that seemed to have failed would be saved twice.
      await this.refresh().catch(() => undefined)
      return written
    })
  }
}

type Save = (
  changes: readonly RecordChange[],
  options: { urgent?: boolean | undefined; seen: RecordVersionToken },
) => Promise<WriteResult>

const emptyText: JsonText = '""'
const emptyList: JsonText = '[]'

function isList(value: JsonText | undefined): boolean {
  return value?.trimStart().startsWith('[') === true
}

class OperationsDraft implements RecordDraft {
  readonly #seen: RecordVersionToken
  readonly #save: Save
  readonly #shown: ReadonlyMap<string, JsonText>
  readonly #changes: RecordChange[] = []
  #saved = false

  constructor(shown: Pick<RecordView, 'version' | 'fields'> | undefined, save: Save) {
    this.#seen = shown?.version ?? nothingSeen
    this.#shown = new Map(shown?.fields)
    this.#save = save
  }

  set(field: string, value: JsonText | undefined): this {
    const from = this.#shown.get(field) ?? (isList(value) ? emptyList : emptyText)
    const isMerged = from.startsWith('"') || isList(from)
    return this.#with({ op: 'put', field, value, ...(isMerged && { from }) })
  }

  editText(field: string, change: { at: number; remove?: number; insert?: string }): this {
    const last = this.#changes.findLast((each) => 'field' in each && each.field === field)
    const json = (last?.op === 'put' ? last.value : this.#shown.get(field)) ?? emptyText
    if (!json.startsWith('"')) {
      throw new HavenError(
        'INVALID_VALUE',
        `The field ${JSON.stringify(field)} shows no text: set it as a whole.`,
      )
    }
    const text = JSON.parse(json) as string
    const edited = applyTextChanges(text, [checkedChange(change, text)])
    return this.set(field, JSON.stringify(edited))
  }

  add(field: string, element: JsonText): this {
    return this.#with({ op: 'add', field, value: element })
  }

  remove(field: string, element: JsonText): this {
    return this.#with({ op: 'remove', field, value: element })
  }

  count(field: string, delta: number): this {
    return this.#with({ op: 'count', field, delta })
  }

  delete(): this {
    return this.#with({ op: 'delete' })
  }

  async save(options: { urgent?: boolean | undefined } = {}): Promise<WriteResult> {
    if (this.#saved) {
      throw new HavenError('USAGE', 'This draft has been saved. Begin another one with edit().')
    }
    if (this.#changes.length === 0) throw new HavenError('USAGE', 'Nothing was changed.')
    this.#saved = true
    try {
      return await this.#save(this.#changes, { ...options, seen: this.#seen })
    } catch (error) {
      this.#saved = false
      throw error
    }
  }

  #with(change: RecordChange): this {
    this.#changes.push(change)
    return this
  }
}
