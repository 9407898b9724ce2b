import { fc, test as propertyTest } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { canonicalJson, elementsOf } from '../../src/records/json-text.ts'
import { entryOf } from '../../src/records/medication-entry.ts'
import { mergeMedicationLists } from '../../src/records/medication-list.ts'
import { registerTransform, transformNamed } from '../../src/records/transforms.ts'

const transform = transformNamed('medication-list')!

function merge(...lists: unknown[]) {
  const merged = transform(
    lists.map((list) => (typeof list === 'string' ? list : JSON.stringify(list))),
  )
  if (merged === undefined) throw new Error('not understood')
  return { entries: JSON.parse(merged.value) as unknown[], undecided: merged.undecided }
}

const amoxicillin = { drug: 'Amoxicillin', dose: '500 mg' }
const ibuprofen = { drug: 'Ibuprofen', dose: '200 mg' }

describe('medication lists', () => {
  test('are merged by drug and dose', () => {
    expect(
      merge([amoxicillin, { drug: 'ORS', dose: '1 sachet' }], [amoxicillin, ibuprofen]),
    ).toEqual({
      entries: [amoxicillin, { drug: 'ORS', dose: '1 sachet' }, ibuprofen],
      undecided: false,
    })
  })

  test('that differ in a dose have both, for a person to decide', () => {
    const less = { ...amoxicillin, dose: '250 mg' }
    expect(merge([amoxicillin, ibuprofen], [less])).toEqual({
      entries: [amoxicillin, less, ibuprofen],
      undecided: true,
    })
    expect(merge([amoxicillin], [{ drug: 'Amoxicillin' }]).undecided).toBe(true)
  })

  test('that all have a drug twice on purpose are not in doubt', () => {
    const evening = { ...amoxicillin, dose: '250 mg' }
    expect(merge([amoxicillin, evening], [amoxicillin, evening, ibuprofen]).undecided).toBe(false)
    // Somebody took one of them away, or put it there.
    expect(merge([amoxicillin, evening], [amoxicillin, ibuprofen]).undecided).toBe(true)
  })

  test('lose nothing of what is said besides', () => {
    const since = { ...amoxicillin, since: '2026-03' }
    const stopped = { ...amoxicillin, status: 'stopped' }
    expect(merge([since], [stopped])).toEqual({
      entries: [{ ...amoxicillin, since: '2026-03', status: 'stopped' }],
      undecided: false,
    })
    const active = { ...amoxicillin, status: 'active' }
    expect(merge([active], [stopped], [amoxicillin])).toEqual({
      entries: [active, stopped],
      undecided: true,
    })
    const twice = { ...amoxicillin, frequency: 'twice a day' }
    const thrice = { ...amoxicillin, frequency: 'three times a day' }
    expect(merge([twice], [thrice])).toEqual({ entries: [twice, thrice], undecided: true })
  })

  test('are not told apart by the ids that applications give to entries', () => {
    const entry = (id: string) => ({ ...amoxicillin, id })
    expect(merge([entry('b')], [entry('a')])).toEqual({ entries: [entry('a')], undecided: false })
  })

  test.each([
    ['500 mg', '500.0 mg'],
    ['500 mg', '500mg'],
    ['500 mg', ' 500  MG '],
    ['500 mg', '0.5 g'],
    ['500 mg', 'value'],
    ['500 mg', 'dosage'],
    ['500 mg', 'FHIR'],
    ['50 mcg', '50 µg'],
    ['0.05 mg', '50 ug'],
    ['1 tablet', '1.0 Tablet'],
    ['500mg/5ml', '500 mg / 5 ml'],
    ['1 tablet twice a day', '1  tablet twice a day'],
  ])('take the dose %s for the same as %s', (dose, other) => {
    const forms: Record<string, string> = {
      value: '{"drug":"amoxicillin","dose":{"value":500.00,"unit":"mg"}}',
      dosage: '{"name":"amoxicillin","dosage":5e2,"unit":"milligrams"}',
      FHIR: '{"medicationCodeableConcept":{"text":"AMOXICILLIN"},"dosageInstruction":[{"doseAndRate":[{"doseQuantity":{"value":500,"unit":"mg","system":"http://unitsofmeasure.org","code":"mg"}}]}]}',
    }
    const written = forms[other] ?? JSON.stringify({ drug: 'amoxicillin ', dose: other })
    const { entries, undecided } = merge([{ drug: 'Amoxicillin', dose }], `[${written}]`)
    expect([entries.length, undecided]).toEqual([1, false])
  })

  test.each([
    ['500 mg', '250 mg'],
    ['500 mg', '500 ml'],
    ['500 mg', '500'],
    ['1 g', '1 gr'],
    ['1 mg', '1.000 mg'],
    ['1000 mg', '1,000 mg'],
    ['5 mg', '.5 mg'],
    ['1 mg', '1 m g'],
    ['1 tablet', '1 tablet twice a day'],
    ['1-2 tablets', '1 2 tablets'],
    ['12 drops', '1 2 drops'],
    ['<', '5 mg'],
  ])('never take the dose %s for %s', (dose, other) => {
    const { entries, undecided } = merge(
      [{ ...amoxicillin, dose }],
      other === '<'
        ? [{ ...amoxicillin, dose: { value: 5, unit: 'mg', comparator: '<' } }]
        : [{ ...amoxicillin, dose: other }],
    )
    expect([entries.length, undecided]).toEqual([2, true])
  })

  test('keep number lexemes, and of two the same one whoever merges', () => {
    const lists = [
      '[{"drug":"A","dose":{"value":1.50,"unit":"mg"},"n":1e400}]',
      '[{"drug":"A","dose":{"value":1.5,"unit":"mg"}},{"drug":"B","dose":{"value":0.10,"unit":"ml"}}]',
    ]
    const { value } = mergeMedicationLists(lists)!
    expect(value).toBe(
      '[{"drug":"A","dose":{"value":1.5,"unit":"mg"},"n":1e400},{"drug":"B","dose":{"value":0.10,"unit":"ml"}}]',
    )
    expect(contentOf(mergeMedicationLists(lists.toReversed())!.value)).toEqual(contentOf(value))
  })

  describe('in FHIR', () => {
    const rxnorm = 'http://www.nlm.nih.gov/research/umls/rxnorm'
    const coded = (code: string, text: string, system = rxnorm) => ({
      medicationCodeableConcept: { coding: [{ system, code }], text },
    })
    const dose = (value: number) => ({
      dosage: [{ doseAndRate: [{ doseQuantity: { value, unit: 'mg' } }] }],
    })

    test('know a drug by its code', () => {
      const { entries, undecided } = merge(
        [{ ...coded('723', 'Amoxicillin'), ...dose(500) }],
        [{ ...coded('723', 'amoxicilline'), ...dose(500) }],
      )
      expect([entries.length, undecided]).toEqual([1, false])
    })

    test('keep the entry with more codes, and both where the codes of one system differ', () => {
      const two = coded('723', 'Amoxicillin')
      two.medicationCodeableConcept.coding.push({ system: 'http://snomed.info/sct', code: '3' })
      const one = coded('3', 'Amoxicillin', 'http://snomed.info/sct')
      expect(merge([one], [two])).toEqual({ entries: [two], undecided: false })
      // 250 mg and 500 mg capsules of one name: a capsule of each is not the same.
      const [small, large] = ['308182', '308191'].map((code) => ({
        ...coded(code, 'Amoxicillin'),
        dose: '1 capsule',
      }))
      expect(merge([small], [large])).toEqual({ entries: [small, large], undecided: true })
    })

    test('ask a person whether a name is the drug of a code', () => {
      const named = { medicationCodeableConcept: { text: 'Amoxicillin' }, ...dose(500) }
      const both = [{ ...coded('723', 'Amoxicillin'), ...dose(500) }, named]
      expect(merge([both[0]], [named])).toEqual({ entries: both, undecided: true })
      expect(merge(both, [...both, ibuprofen]).undecided).toBe(false)
    })

    test('let entries become one beside others that only have the name of the drug', () => {
      const referring = (more: object) => ({
        medicationReference: { reference: 'Medication/2', display: 'aspirin' },
        ...dose(5),
        ...more,
      })
      const merged = merge(
        [referring({ status: 'active' }), { ...coded('1', 'aspirin'), ...dose(5) }],
        [referring({ route: 'oral' })],
      )
      expect(merged.entries).toEqual([
        referring({ status: 'active', route: 'oral' }),
        { ...coded('1', 'aspirin'), ...dose(5) },
      ])
    })

    test('follow references, local ones within their entry', () => {
      const referring = (reference: string, code: string) => ({
        contained: [{ resourceType: 'Medication', id: 'm', code: { coding: [{ code }] } }],
        medicationReference: { reference },
        ...dose(5),
      })
      expect(merge([referring('#m', 'a')], [referring('#m', 'b')])).toMatchObject({
        undecided: false,
        entries: { length: 2 },
      })
      expect(merge([referring('Medication/1', 'a')], [referring('Medication/1', 'a')])).toEqual({
        entries: [referring('Medication/1', 'a')],
        undecided: false,
      })
      expect(transform(['[]', '[{"medicationReference":{"reference":"#none"}}]'])).toBeUndefined()
    })

    test('count all of a dosage as the dose', () => {
      const at = (code: string) => ({
        ...coded('723', 'Amoxicillin'),
        dosageInstruction: [
          {
            timing: { code: { text: code } },
            doseAndRate: [{ doseQuantity: { value: 500, unit: 'mg' } }],
          },
        ],
      })
      expect(merge([at('BID')], [at('TID')])).toEqual({
        entries: [at('BID'), at('TID')],
        undecided: true,
      })
    })
  })

  test.each(['{}', '"a"', '7', '[7]', '[["drug"]]', '[{"dose":"5 mg"}]', '[{"drug":""}]', '[', ''])(
    'are not what is not understood: %s',
    (value) => {
      expect(transform([value])).toBeUndefined()
      expect(transform(['[{"drug":"a"}]', value])).toBeUndefined()
    },
  )

  test('have an end', () => {
    const list = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, at) => ({ drug: `d${from + at}` }))
    expect(merge(list(0, 400), list(200, 500)).entries).toHaveLength(500)
    expect(transform([list(0, 400), list(200, 501)].map((one) => JSON.stringify(one)))).toBe(
      undefined,
    )
  })
})

// ---- whatever is in the lists ----

const spellings = (word: string) => fc.constantFrom(word, word.toUpperCase(), ` ${word} `)
const doseTexts = fc.constantFrom(
  '500 mg',
  '500.0mg',
  '0.5 g',
  '250 mg',
  '2 tablets',
  '2 Tablets',
  '1.000 mg',
  '1,5 ml',
)
const anyDose = fc.oneof(
  doseTexts.map((dose) => ({ dose })),
  doseTexts.map((dose) => ({ dosage: dose })),
  fc.constantFrom(1, 500, 0.5).map((value) => ({ dose: { value, unit: 'mg' } })),
  fc.constantFrom(1, 500).map((value) => ({
    dosageInstruction: [{ doseAndRate: [{ doseQuantity: { value, unit: 'mg', code: 'mg' } }] }],
  })),
  fc.constant({}),
)
const codings = fc.uniqueArray(
  fc.record({ system: fc.constantFrom('s', 't'), code: fc.constantFrom('1', '2') }),
  { minLength: 1, maxLength: 3, selector: (one) => JSON.stringify(one) },
)
const anyDrug = fc.oneof(
  fc.constantFrom('aspirin', 'insulin').chain((name) =>
    fc.oneof(
      spellings(name).map((drug) => ({ drug })),
      spellings(name).map((text) => ({ medicationCodeableConcept: { text } })),
      codings.map((coding) => ({ medicationCodeableConcept: { coding, text: name } })),
    ),
  ),
  codings.map((coding) => ({ medicationCodeableConcept: { coding } })),
  fc.constantFrom('Medication/1', 'Medication/2').map((reference) => ({
    medicationReference: { reference, display: 'aspirin' },
  })),
)
const anyMore = fc.record(
  {
    status: fc.constantFrom('active', 'stopped'),
    note: fc.constantFrom('with food', 'at night'),
    id: fc.constantFrom('x', 'y'),
  },
  { requiredKeys: [] },
)
const anyList = fc
  .array(
    fc
      .tuple(anyDrug, anyDose, anyMore)
      .map(([drug, dose, more]): object => ({ ...drug, ...dose, ...more })),
    { maxLength: 5 },
  )
  .map((list) => JSON.stringify(list))
const anyLists = fc.uniqueArray(anyList, { minLength: 1, maxLength: 4 })
const cases = { numRuns: 1_000 }

function contentOf(list: string): string[] {
  return elementsOf(list).map(canonicalJson).toSorted()
}

interface Facts {
  /** Of which drug which dose. */
  doses: Set<string>
  /** And what about it. */
  details: Set<string>
}

function factsOf(...lists: string[]): Facts {
  const facts = { doses: new Set<string>(), details: new Set<string>() }
  for (const text of lists.flatMap(elementsOf)) {
    const { dose, rest } = entryOf(text)!
    for (const drug of drugsOf(text)) {
      facts.doses.add(JSON.stringify([drug, dose]))
      for (const more of rest) facts.details.add(JSON.stringify([drug, dose, more]))
    }
  }
  return facts
}

function drugsOf(entry: string): Iterable<string> {
  const { codes, names } = entryOf(entry)!
  return codes.size > 0 ? codes.keys() : names
}

propertyTest.prop([anyLists], cases)(
  'in whatever order lists are given, the merged one says the same, in an order that follows from it',
  (lists) => {
    const merged = transform(lists)!
    for (const other of [lists.toReversed(), [...lists.slice(1), lists[0]!]]) {
      const again = transform(other)!
      expect(contentOf(again.value)).toEqual(contentOf(merged.value))
      expect(again.undecided).toBe(merged.undecided)
    }
    expect(transform(lists)).toEqual(merged)
  },
)

propertyTest.prop([anyLists], cases)(
  'no drug, dose or detail is lost, and none made up',
  (lists) => {
    const merged = factsOf(transform(lists)!.value)
    const said = factsOf(...lists)
    expect(merged.doses).toEqual(said.doses)
    // What is said of an entry is said by all codes of its drug.
    expect([...merged.details]).toEqual(expect.arrayContaining([...said.details]))
  },
)

propertyTest.prop([anyLists], cases)('merging what is merged adds nothing', (lists) => {
  const { value } = transform(lists)!
  expect(transform([value])).toEqual({ value, undecided: false })
  expect(contentOf(transform([value, ...lists])!.value)).toEqual(contentOf(value))
  expect(contentOf(transform([lists[0]!, value])!.value)).toEqual(contentOf(value))
})

propertyTest.prop([anyLists], cases)('merged in steps they say the same', (lists) => {
  const [first, ...others] = lists
  const inSteps = others.reduce((value, list) => transform([value, list])!.value, first!)
  const [steps, once] = [factsOf(inSteps), factsOf(transform(lists)!.value)]
  expect(steps.doses).toEqual(once.doses)
  expect([...steps.details]).toEqual(expect.arrayContaining([...once.details]))
})

propertyTest.prop([anyLists], cases)(
  'a drug that two lists have in different doses is for a person to decide',
  (lists) => {
    const dosesByDrug = lists.map((list) => {
      const doses = new Map<string, Set<string>>()
      for (const text of elementsOf(list)) {
        const { dose } = entryOf(text)!
        for (const drug of drugsOf(text)) {
          doses.set(drug, (doses.get(drug) ?? new Set()).add(dose))
        }
      }
      return doses
    })
    const differ = dosesByDrug.some((one) =>
      dosesByDrug.some((other) =>
        [...one].some(([drug, doses]) => {
          const others = other.get(drug)
          return others !== undefined && ![...doses].every((dose) => others.has(dose))
        }),
      ),
    )
    if (differ) expect(transform(lists)!.undecided).toBe(true)
  },
)

propertyTest.prop([fc.array(fc.oneof(fc.json(), fc.string()), { minLength: 1, maxLength: 3 })])(
  'nothing makes it throw',
  (values) => {
    const merged = transform(values)
    if (merged !== undefined) expect(() => elementsOf(merged.value)).not.toThrow()
  },
)

describe('a transform of a program', () => {
  test('has a name of its own', () => {
    const first = () => ({ value: '1', undecided: false })
    registerTransform('first-of-test', first)
    expect(transformNamed('first-of-test')!(['1', '2'])).toEqual({ value: '1', undecided: false })
    expect(() => registerTransform('first-of-test', first)).toThrow(TypeError)
    expect(() => registerTransform('medication-list', first)).toThrow(TypeError)
    expect(() => registerTransform('Not a name', first)).toThrow(TypeError)
  })

  test('that throws, or returns no JSON, leaves the values to a person', () => {
    registerTransform('throws-of-test', () => {
      throw new Error('a mistake')
    })
    registerTransform('no-json-of-test', () => ({ value: 'no', undecided: false }))
    expect(transformNamed('throws-of-test')!(['1', '2'])).toBeUndefined()
    expect(transformNamed('no-json-of-test')!(['1', '2'])).toBeUndefined()
  })
})
