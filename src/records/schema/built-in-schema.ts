/**
 * The schema that every collection has from the start, version 0: FHIR R4 as clinics use it, and anything else.
 *
 * docs/data-model.md has the same tables; a test keeps them equal. A person decides (`mvr`) by this measure: would a
 * clinician who saw only one of two values give, withhold or repeat a treatment, or take one patient for another? What
 * states whether a thing is so (`status`), what it is about (`subject`), and what changes the meaning of all else count too.
 * A `set` is a list to which people only add: two versions of one element would stand side by side in it, so a list of doses
 * or reactions is none.
 */
import { bytesToHex, utf8ToBytes } from '../../core/bytes.ts'
import { domainHash16 } from '../../crypto/hash.ts'
import type { DeletePolicy, FieldRule, Rank } from '../reading.ts'
import { FieldRules } from './field-rules.ts'

/** Names of rows that are no resource type. */
const anyRecord = 'any record'
const anyResource = 'any resource'

type MvrFields = Readonly<Partial<Record<Rank, readonly string[]>>>

/** Fields where a person decides, by resource type and rank; `[x]` stands for any of the names that FHIR forms with a data type. */
export const builtInMvr: Readonly<Record<string, MvrFields>> = {
  [anyRecord]: {
    critical: [
      'allergies',
      'allergy',
      'bloodGroup',
      'bloodType',
      'dosage',
      'dose',
      'medication',
      'medications',
    ],
  },
  [anyResource]: { critical: ['implicitRules', 'modifierExtension'], high: ['contained'] },
  AllergyIntolerance: {
    critical: ['clinicalStatus', 'verificationStatus', 'criticality', 'code', 'reaction'],
    high: ['type', 'category', 'patient'],
  },
  CarePlan: { high: ['status', 'intent', 'subject', 'activity'] },
  Condition: {
    critical: ['clinicalStatus', 'verificationStatus', 'code'],
    high: ['severity', 'bodySite', 'subject', 'abatement[x]', 'stage'],
  },
  Consent: { high: ['status', 'patient', 'provision'] },
  DetectedIssue: {
    critical: ['status', 'severity', 'code', 'implicated', 'mitigation'],
    high: ['patient'],
  },
  DiagnosticReport: {
    critical: ['code', 'result', 'conclusion', 'conclusionCode'],
    high: ['status', 'subject'],
  },
  DocumentReference: { high: ['status', 'docStatus', 'subject', 'content'] },
  Encounter: { high: ['subject'], normal: ['status', 'class'] },
  FamilyMemberHistory: { high: ['patient', 'condition'], normal: ['status'] },
  Flag: { critical: ['status', 'code'], high: ['subject'] },
  Immunization: {
    critical: [
      'status',
      'vaccineCode',
      'occurrence[x]',
      'doseQuantity',
      'isSubpotent',
      'reaction',
      'protocolApplied',
    ],
    high: ['statusReason', 'patient', 'lotNumber', 'site', 'route'],
  },
  Medication: { critical: ['code', 'form', 'amount', 'ingredient'], high: ['status'] },
  MedicationAdministration: {
    critical: ['status', 'medication[x]', 'effective[x]', 'dosage'],
    high: ['subject', 'reasonCode'],
  },
  MedicationDispense: {
    critical: ['status', 'medication[x]', 'quantity', 'dosageInstruction', 'substitution'],
    high: ['subject', 'daysSupply', 'whenHandedOver'],
  },
  MedicationRequest: {
    critical: [
      'status',
      'intent',
      'doNotPerform',
      'medication[x]',
      'dosageInstruction',
      'substitution',
    ],
    high: ['statusReason', 'subject', 'dispenseRequest'],
  },
  MedicationStatement: {
    critical: ['status', 'medication[x]', 'effective[x]', 'dosage'],
    high: ['subject'],
  },
  NutritionOrder: {
    critical: ['allergyIntolerance', 'excludeFoodModifier', 'oralDiet', 'enteralFormula'],
    high: ['status', 'patient', 'foodPreferenceModifier'],
  },
  Observation: {
    critical: ['code', 'value[x]', 'component'],
    high: [
      'status',
      'subject',
      'effective[x]',
      'dataAbsentReason',
      'interpretation',
      'bodySite',
      'method',
    ],
  },
  Patient: {
    high: ['identifier', 'active', 'name', 'gender', 'birthDate', 'deceased[x]', 'link'],
    normal: ['multipleBirth[x]'],
  },
  Procedure: {
    high: ['status', 'code', 'subject', 'performed[x]', 'bodySite', 'outcome', 'complication'],
  },
  QuestionnaireResponse: { high: ['subject'], normal: ['status', 'item'] },
  ServiceRequest: {
    critical: ['doNotPerform'],
    high: ['status', 'intent', 'priority', 'code', 'subject', 'bodySite'],
  },
  Specimen: { high: ['status', 'type', 'subject', 'collection'] },
}

/** Lists to which people only add. */
export const builtInSets: Readonly<Record<string, readonly string[]>> = {
  [anyResource]: ['note'],
  Patient: ['telecom'],
}

/** What a system makes by itself, and nobody treats by. */
export const builtInLow: Readonly<Record<string, readonly string[]>> = {
  [anyResource]: ['language', 'meta', 'text'],
}

/** Whether such a record is there decides on treatment, so a person is asked. All others come back by themselves. */
export const confirmedDeletes: readonly string[] = [
  'AllergyIntolerance',
  'Condition',
  'Consent',
  'DetectedIssue',
  'Flag',
  'Immunization',
  'MedicationAdministration',
  'MedicationDispense',
  'MedicationRequest',
  'MedicationStatement',
  'NutritionOrder',
]

const rulesByRow: ReadonlyMap<string, FieldRules> = new Map(
  [anyRecord, ...Object.keys(builtInMvr)].map((row) => [row, new FieldRules(rulesOfRow(row))]),
)

export const builtInSchema = {
  /** Another one when a table here changes. */
  digest: bytesToHex(
    domainHash16(
      'havenmesh/built-in/v1',
      utf8ToBytes(JSON.stringify([builtInMvr, builtInSets, builtInLow, confirmedDeletes])),
    ),
  ),

  /** @param type - resource type; undefined: the record is no FHIR resource */
  ruleOf(type: string | undefined, field: string): FieldRule {
    return (
      (type === undefined
        ? undefined
        : (rulesByRow.get(type)?.ruleOf(field) ?? rulesByRow.get(anyResource)!.ruleOf(field))) ??
      rulesByRow.get(anyRecord)!.ruleOf(field) ??
      otherFields
    )
  },

  deletePolicyOf(type: string | undefined): DeletePolicy {
    return type !== undefined && confirmedDeletes.includes(type) ? 'confirm' : 'resurrect'
  },
}

const otherFields: FieldRule = { strategy: 'lww', rank: 'normal' }

function rulesOfRow(row: string): Map<string, FieldRule> {
  const rules = new Map<string, FieldRule>()
  for (const [rank, fields] of Object.entries(builtInMvr[row] ?? {})) {
    for (const field of fields) rules.set(field, { strategy: 'mvr', rank: rank as Rank })
  }
  for (const field of builtInSets[row] ?? []) rules.set(field, { strategy: 'set', rank: 'normal' })
  for (const field of builtInLow[row] ?? []) rules.set(field, { strategy: 'lww', rank: 'low' })
  return rules
}

/** Fields that the built-in schema names for records of a type, those of every record included. */
export function builtInFields(type: string | undefined): string[] {
  const rows = type === undefined ? [anyRecord] : [anyRecord, anyResource, type]
  return [...new Set(rows.flatMap((row) => [...rulesOfRow(row).keys()]))]
}

/** Types that the built-in schema has rules of its own for. */
export const builtInTypes: readonly string[] = Object.keys(builtInMvr).filter(
  (row) => row !== anyRecord && row !== anyResource,
)

/**
 * The built-in schema as a document, for people to read and to start from. What holds for every resource stands under
 * each type, since a field of that name in another record is another thing.
 */
export function builtInDocumentText(collection: string): string {
  const rowText = (row: string): Record<string, FieldRule> => Object.fromEntries(rulesOfRow(row))
  const document = {
    collection,
    version: 0,
    deletePolicy: 'resurrect',
    fields: rowText(anyRecord),
    types: Object.fromEntries(
      builtInTypes.map((type) => [
        type,
        {
          ...(confirmedDeletes.includes(type) && { deletePolicy: 'confirm' }),
          fields: { ...rowText(anyResource), ...rowText(type) },
        },
      ]),
    ),
  }
  return `${JSON.stringify(document, undefined, 2)}\n`
}
