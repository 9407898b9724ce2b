/** What people and programs come to want of a record, and what those of other versions may write. */
import type { Change } from '../../../src/records/changes.ts'
import type { Reading } from '../../../src/records/reading.ts'
import { writesToSettle, type Resolution } from '../../../src/records/resolution.ts'
import type { RecordView } from '../../../src/records/visibility.ts'
import type { PlannedWrite, UnseenPlace } from '../../../src/records/writes.ts'
import type { Chance } from '../../sync/support/chance.ts'
import { elements } from './ward.ts'

export class Wishes {
  readonly #chance: Chance
  readonly #names: readonly string[]
  readonly #deleting: number
  #unique = 0

  /** @param options.deleting - how often the record as a whole is meant, from 0 to 1 */
  constructor(
    chance: Chance,
    options: { readonly names: readonly string[]; readonly deleting: number },
  ) {
    this.#chance = chance
    this.#names = options.names
    this.#deleting = options.deleting
  }

  /** What a program of this version asks for. */
  wishes(view: RecordView): Change[] {
    const chance = this.#chance
    if (chance.chance(this.#deleting)) {
      return [{ op: view.deleted && chance.chance(0.5) ? 'restore' : 'delete' }]
    }
    return chance
      .shuffled(this.#names)
      .slice(0, chance.int(1, 3))
      .map((field) => this.#wish(view, field))
  }

  #wish(view: RecordView, field: string): Change {
    const chance = this.#chance
    if (chance.chance(0.08)) return { op: 'put', field, value: undefined }
    switch (field) {
      case 'set':
      case '~same':
        if (chance.chance(0.3)) return { op: 'put', field, value: this.#list() }
        return {
          op: chance.chance(0.6) ? 'add' : 'remove',
          field,
          value: chance.pick(elements),
        }
      case 'stock':
        return chance.chance(0.25)
          ? { op: 'put', field, value: String(chance.int(0, 50)) }
          : { op: 'count', field, delta: chance.int(-5, 9) }
      case 'all':
        return chance.chance(0.1)
          ? { op: 'keep', field, values: [this.#value(), view.fields.get(field) ?? '0'] }
          : { op: 'put', field, value: this.#value() }
      default:
        return { op: 'put', field, value: this.#value() }
    }
  }

  #value(): string {
    return this.#chance.chance(0.2) ? '"same"' : `"v${this.#unique++}"`
  }

  #list(): string {
    const chance = this.#chance
    return `[${chance.shuffled(elements).slice(0, chance.int(0, 3)).join(',')}]`
  }

  /** None where there is nothing to settle. */
  resolution(view: RecordView, reading: Reading): PlannedWrite[] {
    const chance = this.#chance
    if (view.conflicts.length === 0) return []
    const conflict = chance.pick(view.conflicts)
    const resolution: Resolution =
      conflict.field === ''
        ? { record: chance.pick(['keep', 'delete']) }
        : chance.pick<Resolution>([
            { keep: chance.int(1, conflict.values.length) },
            { value: this.#value() },
            { keepBoth: true },
          ])
    return writesToSettle(view, conflict, { resolution, reading })
  }

  /** Ops that go together or not, with any places set aside: of other versions, or of whoever uses the format freely. */
  anything(live: readonly UnseenPlace[]): PlannedWrite[] {
    const chance = this.#chance
    return chance
      .shuffled([...this.#names, ''])
      .slice(0, chance.int(1, 3))
      .map((field) => {
        const unseen = chance.chance(0.3)
          ? chance
              .shuffled(live)
              .slice(0, 2)
              .map(({ feed, seq }) => ({ feed, seq }))
          : []
        return { field, ...this.#op(field), ...(unseen.length > 0 && { unseen }) }
      })
  }

  #op(field: string): Pick<PlannedWrite, 'op' | 'value'> {
    const chance = this.#chance
    const op = chance.pick(
      field === ''
        ? ['delete', 'delete', 'restore', 'vote']
        : ['put', 'put', 'put', 'add', 'remove', 'count', 'keep', 'vote'],
    )
    const value = (): string | undefined => {
      if (op === 'delete' || op === 'restore') return undefined
      if (op === 'add' || op === 'remove') return chance.pick(elements)
      if (op === 'count') return String(chance.int(-5, 5))
      if (op === 'keep') return `[${this.#value()},${this.#value()}]`
      if (chance.chance(0.2)) return undefined
      return chance.pick([this.#value(), this.#list(), String(chance.int(0, 9))])
    }
    return { op, value: value() }
  }
}
