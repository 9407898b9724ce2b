/** A schema in two versions, and what is written in the one in the terms of the other: said plainly, without a lens. */
import type { Change } from '../../../src/records/changes.ts'
import type { FieldRule, Reading, Strategy } from '../../../src/records/reading.ts'
import { SchemaBook } from '../../../src/records/schema/schema-book.ts'
import type { LensStep, SchemaDocument } from '../../../src/records/schema/schema-document.ts'
import type { RecordView } from '../../../src/records/visibility.ts'
import type { TrueWrite } from '../../../simulations/checks/truth.ts'
import type { Chance } from '../../sync/support/chance.ts'
import { elements } from './ward.ts'

const every = { type: undefined }
const steps: LensStep[] = [
  { kind: 'rename', from: 'sex', to: 'gender', ...every },
  {
    kind: 'map',
    field: 'gender',
    values: [
      ['"m"', '"male"'],
      ['"f"', '"female"'],
    ],
    ...every,
  },
  { kind: 'split', from: 'name', to: ['given', 'family'], separator: ' ', ...every },
  { kind: 'unit', field: 'weight', factor: '1000', offset: '0', ...every },
  { kind: 'rename', from: 'stock', to: 'vials', ...every },
  { kind: 'rename', from: 'allergies', to: 'intolerances', ...every },
  { kind: 'default', field: 'triage', value: '"green"', ...every },
]

const book = new SchemaBook([
  schema(1, { sex: 'mvr', name: 'mvr', weight: 'lww', stock: 'counter', allergies: 'set' }),
  schema(2, {
    gender: 'mvr',
    given: 'mvr',
    family: 'mvr',
    weight: 'lww',
    vials: 'counter',
    intolerances: 'set',
  }),
])

export const readings: readonly [Reading, Reading] = [book.reading(1), book.reading(2)]

function schema(version: number, fields: Readonly<Record<string, Strategy>>) {
  const rules = Object.entries(fields).map(([field, strategy]): [string, FieldRule] => [
    field,
    { strategy, rank: 'normal' },
  ])
  const document: SchemaDocument = {
    collection: 'patients',
    version,
    deletePolicy: undefined,
    fields: new Map(rules),
    types: new Map(),
    otherFields: undefined,
    from: version - 1,
    steps: version === 1 ? [] : steps,
  }
  return { document, text: String(version) }
}

/** What a device that has this version asks for. */
export function wishesIn(
  { version }: Reading,
  chance: Chance,
  unique: () => number,
): (view: RecordView) => Change[] {
  const isOld = version === 1
  const put = (field: string, value: string | undefined): Change => ({
    op: 'put',
    field,
    value: chance.chance(0.1) ? undefined : value,
  })
  const anyWish = (): Change => {
    switch (chance.int(0, 6)) {
      case 0:
        return isOld
          ? put('sex', chance.pick(['"m"', '"f"', '"x"']))
          : put('gender', chance.pick(['"male"', '"female"', '"x"']))
      case 1:
        if (isOld) return put('name', `"g${unique()} f${unique()}"`)
        return chance.chance(0.5) ? put('given', `"g${unique()}"`) : put('family', `"f${unique()}"`)
      case 2:
        return put('weight', chance.chance(0.1) ? '"heavy"' : `${unique()}${isOld ? '' : '000'}`)
      case 3:
        return { op: 'count', field: isOld ? 'stock' : 'vials', delta: chance.int(-3, 5) }
      case 4:
        return {
          op: chance.pick(['add', 'add', 'remove']),
          field: isOld ? 'allergies' : 'intolerances',
          value: chance.pick(elements),
        }
      case 5:
        // Known to one version only, and to none.
        return put(isOld ? 'ward' : 'triage', `"w${unique()}"`)
      default:
        return { op: 'delete' }
    }
  }
  return () => {
    const wishes = new Map<string, Change>()
    for (let i = chance.int(1, 3); i > 0; i--) {
      const wish = anyWish()
      wishes.set('field' in wish ? wish.field : '', wish)
    }
    return [...wishes.values()]
  }
}

const newNames: Readonly<Record<string, string>> = {
  sex: 'gender',
  stock: 'vials',
  allergies: 'intolerances',
}
const newValues: Readonly<Record<string, string>> = { '"m"': '"male"', '"f"': '"female"' }

/** What somebody with version 1 wrote, as somebody with version 2 would have written it. */
export function inNewTerms(write: TrueWrite): TrueWrite[] {
  const { field, op, value } = write
  const as = (name: string, json: string | undefined): TrueWrite => ({
    ...write,
    field: name,
    value: json,
  })
  if (field === 'name') {
    const [given, family] = value === undefined ? [] : (JSON.parse(value) as string).split(' ')
    return [
      as('given', given && JSON.stringify(given)),
      as('family', family && JSON.stringify(family)),
    ]
  }
  if (field === 'weight' && value !== undefined && value !== '"heavy"') {
    return [as('weight', op === 'put' ? `${value}000` : value)]
  }
  if (field === 'sex' && op === 'put') return [as('gender', newValues[value ?? ''] ?? value)]
  return [as(newNames[field] ?? field, value)]
}
