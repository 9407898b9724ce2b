/**
 * Synthetic clinic records: encounters in the shape of FHIR, of 24 top-level elements and about 730 bytes of JSON each.
 *
 * The same seed gives the same records, and the first n of a longer run are those of a shorter one. 10,000 of them are
 * about 7.3 MB of NDJSON, which deflate shrinks to about 1.4 MB: words from small vocabularies, as a real clinic writes
 * them, around ids, times and measurements that no compressor can guess. Elements that FHIR nests deeply are flat,
 * or twenty of them would take more bytes than a small clinic's records do.
 */

export interface SyntheticRecord {
  resourceType: 'Encounter'
  id: string
  length: { value: number; unit: string }
  [element: string]: unknown
}

export function* syntheticRecords(count: number, seed = 1): Generator<SyntheticRecord> {
  const random = randomFrom(seed)
  const patients = Array.from({ length: patientCount }, () => uuid(random))
  for (let index = 0; index < count; index++) yield encounter(random, patients, index)
}

/** One resource a line, each line ended. */
export function toNdjson(records: Iterable<SyntheticRecord>): string {
  let text = ''
  for (const record of records) text += `${JSON.stringify(record)}\n`
  return text
}

/** Independent of the other records of the run, so that a clinic of 100,000 begins like one of 10,000. */
const patientCount = 2_500

function encounter(random: Random, patients: string[], index: number): SyntheticRecord {
  // A clinic day has some 200 visits; they are registered one after another.
  const startMs =
    firstDayMs + Math.floor(index / 200) * dayMs + 8 * hourMs + random.below(8 * hourMs)
  const minutes = 4 + random.below(56)
  return {
    resourceType: 'Encounter',
    id: uuid(random),
    identifier: `C${100_000 + random.below(900_000)}`,
    status: random.of(['finished', 'finished', 'finished', 'in-progress', 'triaged']),
    class: random.of(['AMB', 'AMB', 'EMER', 'HH']),
    type: random.of(visits),
    priority: random.of(['routine', 'routine', 'urgent', 'stat']),
    episodeOfCare: uuid(random),
    subject: { reference: `Patient/${random.of(patients)}` },
    name: `${random.of(givenNames)} ${random.of(familyNames)}`,
    birthDate: new Date(startMs - random.below(70 * 365) * dayMs).toISOString().slice(0, 10),
    telecom: `+2499${10_000_000 + random.below(90_000_000)}`,
    participant: random.of(practitioners),
    period: { start: isoSecond(startMs), end: isoSecond(startMs + minutes * minuteMs) },
    length: { value: minutes, unit: 'min' },
    reason: random.of(complaints),
    diagnosis: [{ display: random.of(diagnoses), rank: 1 + random.below(3) }],
    temperature: (355 + random.below(50)) / 10,
    pulse: 55 + random.below(80),
    bloodPressure: `${90 + random.below(80)}/${55 + random.below(45)}`,
    weight: (30 + random.below(900)) / 10,
    location: `Tent ${1 + random.below(24)}`,
    muac: 90 + random.below(90),
    note: `${random.of(notes)} Card ${10_000 + random.below(90_000)}`,
  }
}

interface Random {
  below(limit: number): number
  of<T>(choices: readonly T[]): T
}

/** Mulberry32: 32 bits of state, good enough to look like noise to deflate. */
function randomFrom(seed: number): Random {
  let state = seed >>> 0
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
  return { below, of: <T>(choices: readonly T[]) => choices[below(choices.length)] as T }
}

function uuid(random: Random): string {
  const hex = Array.from({ length: 4 }, () =>
    random
      .below(2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  )
  const digits = hex.join('')
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `4${digits.slice(13, 16)}`,
    `${(8 + random.below(4)).toString(16)}${digits.slice(17, 20)}`,
    digits.slice(20),
  ].join('-')
}

const isoSecond = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const firstDayMs = Date.UTC(2026, 0, 5)

const practitioners = [
  'Nurse A. Mbeki',
  'Nurse F. Al-Sayed',
  'Nurse C. Okafor',
  'Dr H. Traoré',
  'Dr L. Petrova',
  'Dr S. Rahman',
  'Midwife N. Dlamini',
  'Midwife Z. Haidari',
  'CHW J. Mwangi',
  'CHW R. Sesay',
]
const visits = [
  'Antenatal visit',
  'Child under five',
  'Chronic care',
  'Dressing change',
  'Follow-up',
  'General consultation',
  'Immunization',
  'Nutrition screening',
]
const complaints = [
  'Abdominal pain',
  'Cough for two weeks',
  'Diarrhoea',
  'Fever',
  'Headache',
  'Injury of the hand',
  'Itching skin',
  'Reduced fetal movement',
  'Shortness of breath',
  'Weight loss',
]
const diagnoses = [
  'Acute otitis media',
  'Acute watery diarrhoea',
  'Essential hypertension',
  'Iron deficiency anaemia',
  'Lower respiratory infection',
  'Malaria, uncomplicated',
  'Moderate acute malnutrition',
  'Scabies',
  'Type 2 diabetes',
  'Upper respiratory infection',
]
const givenNames = [
  'Abdi',
  'Aisha',
  'Amara',
  'Bilal',
  'Chidi',
  'Dina',
  'Elif',
  'Farah',
  'Grace',
  'Hassan',
  'Ines',
  'Jamal',
  'Khadija',
  'Leila',
  'Mariam',
  'Nadia',
  'Omar',
  'Precious',
  'Rashid',
  'Samira',
  'Tariq',
  'Usman',
  'Wanjiru',
  'Yusuf',
]
const familyNames = [
  'Abubakar',
  'Ahmadi',
  'Bahati',
  'Coulibaly',
  'Deng',
  'Diallo',
  'Farouk',
  'Habimana',
  'Haddad',
  'Ibrahim',
  'Kamara',
  'Karimi',
  'Keita',
  'Lado',
  'Mohamud',
  'Nasser',
  'Ndiaye',
  'Nkurunziza',
  'Okello',
  'Osman',
  'Rahimi',
  'Saleh',
  'Touré',
  'Warsame',
]
const notes = [
  'Seen with caregiver.',
  'Interpreter present.',
  'Return if worse.',
  'Medicine explained.',
  'Vaccine card checked.',
  'Lives in block C.',
]
