/** What people call a record. For display only: what is not as FHIR has it, there is no title of. */

/** A patient's name and date of birth, or the name, title or code of something else; undefined where nothing says it. */
export function titleOf(fields: ReadonlyMap<string, string>): string | undefined {
  const name = nameText(parsed(fields.get('name')))
  const birthDate = parsed(fields.get('birthDate'))
  if (name !== undefined && typeof birthDate === 'string') return `${name}, born ${birthDate}`
  return name ?? textOf(parsed(fields.get('title'))) ?? textOf(parsed(fields.get('code')))
}

/** The id of the patient's record whom another one is about. */
export function patientIdOf(fields: ReadonlyMap<string, string>): string | undefined {
  for (const field of ['subject', 'patient']) {
    const { reference } = objectOf(parsed(fields.get(field)))
    if (typeof reference === 'string' && reference.startsWith('Patient/')) return reference
  }
  return undefined
}

/** A text, a FHIR HumanName, or the first of several. */
function nameText(name: unknown): string | undefined {
  const first: unknown = Array.isArray(name) ? name[0] : name
  const { given, family } = objectOf(first)
  const parts = [...(Array.isArray(given) ? (given as unknown[]) : []), family]
  const words = parts.filter((part) => typeof part === 'string' && part !== '')
  return textOf(first) ?? (words.length === 0 ? undefined : words.join(' '))
}

/** A text, or what FHIR says in `text` of a name or a concept, else of its first coding. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  const { text, coding } = objectOf(value)
  const { display } = objectOf(Array.isArray(coding) ? (coding[0] as unknown) : undefined)
  return [text, display].find((one) => typeof one === 'string' && one !== '') as string | undefined
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function parsed(json: string | undefined): unknown {
  return json === undefined ? undefined : (JSON.parse(json) as unknown)
}
