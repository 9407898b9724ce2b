/**
 * Where a person has to choose among concurrent values, because a silent choice could harm somebody.
 *
 * docs/data-model.md has the same table; a test keeps the two equal. The measure: would a clinician who saw only one of
 * two values give, withhold or repeat a treatment, or take one patient for another? Then the field is here. What states
 * whether a thing is so (`status`), what it is about (`subject`), and what changes the meaning of all else count too.
 */
import { bytesToHex, utf8ToBytes } from '../core/bytes.ts'
import { domainHash16 } from '../crypto/hash.ts'
import type { FieldRule, Reading, Strategy } from './reading.ts'

/** Fields by resource type; `[x]` stands for any of the names that FHIR forms with a data type. */
export const mvrFields: Readonly<Record<string, readonly string[]>> = {
  'any resource': ['implicitRules', 'modifierExtension'],
  AllergyIntolerance: [
    'clinicalStatus',
    'verificationStatus',
    'type',
    'category',
    'criticality',
    'code',
    'patient',
    'reaction',
  ],
  CarePlan: ['status', 'intent', 'subject', 'activity'],
  Condition: [
    'clinicalStatus',
    'verificationStatus',
    'severity',
    'code',
    'bodySite',
    'subject',
    'abatement[x]',
    'stage',
  ],
  Consent: ['status', 'patient', 'provision'],
  DetectedIssue: ['status', 'severity', 'code', 'patient', 'implicated', 'mitigation'],
  DiagnosticReport: ['status', 'code', 'subject', 'result', 'conclusion', 'conclusionCode'],
  DocumentReference: ['status', 'docStatus', 'subject', 'content'],
  Encounter: ['status', 'class', 'subject'],
  FamilyMemberHistory: ['status', 'patient', 'condition'],
  Flag: ['status', 'code', 'subject'],
  Immunization: [
    'status',
    'statusReason',
    'vaccineCode',
    'patient',
    'occurrence[x]',
    'lotNumber',
    'site',
    'route',
    'doseQuantity',
    'isSubpotent',
    'reaction',
    'protocolApplied',
  ],
  Medication: ['code', 'status', 'form', 'amount', 'ingredient'],
  MedicationAdministration: [
    'status',
    'medication[x]',
    'subject',
    'effective[x]',
    'reasonCode',
    'dosage',
  ],
  MedicationDispense: [
    'status',
    'medication[x]',
    'subject',
    'quantity',
    'daysSupply',
    'whenHandedOver',
    'dosageInstruction',
    'substitution',
  ],
  MedicationRequest: [
    'status',
    'statusReason',
    'intent',
    'doNotPerform',
    'medication[x]',
    'subject',
    'dosageInstruction',
    'dispenseRequest',
    'substitution',
  ],
  MedicationStatement: ['status', 'medication[x]', 'subject', 'effective[x]', 'dosage'],
  NutritionOrder: [
    'status',
    'patient',
    'allergyIntolerance',
    'foodPreferenceModifier',
    'excludeFoodModifier',
    'oralDiet',
    'enteralFormula',
  ],
  Observation: [
    'status',
    'code',
    'subject',
    'effective[x]',
    'value[x]',
    'dataAbsentReason',
    'interpretation',
    'bodySite',
    'method',
    'component',
  ],
  Patient: [
    'identifier',
    'active',
    'name',
    'gender',
    'birthDate',
    'deceased[x]',
    'multipleBirth[x]',
    'link',
  ],
  Procedure: ['status', 'code', 'subject', 'performed[x]', 'bodySite', 'outcome', 'complication'],
  QuestionnaireResponse: ['status', 'subject', 'item'],
  ServiceRequest: ['status', 'intent', 'priority', 'doNotPerform', 'code', 'subject', 'bodySite'],
  Specimen: ['status', 'type', 'subject', 'collection'],
}

/** @param recordId - `Type/id`; records of other forms are `lww` throughout */
export function strategyOf(recordId: string, field: string): Strategy {
  const slash = recordId.indexOf('/')
  if (slash <= 0) return 'lww'
  // What FHIR says about a primitive value stands beside it under the name with a `_`.
  const name = field.startsWith('_') ? field.slice(1) : field
  return isListed('any resource', name) || isListed(recordId.slice(0, slash), name) ? 'mvr' : 'lww'
}

/** The rules that hold where no schema was given to a collection. */
export const builtInReading: Reading = {
  version: 0,
  digest: bytesToHex(domainHash16('havenmesh/built-in/v1', utf8ToBytes(JSON.stringify(mvrFields)))),
  ruleOf(recordId: string, field: string): FieldRule {
    return strategyOf(recordId, field) === 'mvr'
      ? { strategy: 'mvr', rank: 'critical' }
      : { strategy: 'lww', rank: 'normal' }
  },
  deletePolicyOf: () => 'resurrect',
  textFieldsOf: () => [],
  lensesOf: () => undefined,
}

interface Listed {
  readonly names: ReadonlySet<string>
  /** Of names with `[x]`, what stands before it. */
  readonly stems: readonly string[]
}

const listedByType = new Map<string, Listed>(
  Object.entries(mvrFields).map(([type, fields]) => [
    type,
    {
      names: new Set(fields),
      stems: fields.filter((field) => field.endsWith('[x]')).map((field) => field.slice(0, -3)),
    },
  ]),
)

function isListed(type: string, name: string): boolean {
  const listed = listedByType.get(type)
  if (listed === undefined) return false
  return (
    listed.names.has(name) ||
    listed.stems.some((stem) => name.startsWith(stem) && /^[A-Z]/.test(name.slice(stem.length)))
  )
}
