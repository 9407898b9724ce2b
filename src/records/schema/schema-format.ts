/**
 * The JSON Schema of schema documents, for editors and other programs: `haven schema format` prints it, and
 * docs/schemas/collection-schema.json is the same. document-shape.ts checks the same; a test keeps the two together.
 */
import { limits } from '../../core/limits.ts'
import { type DeletePolicy, ranks, type Strategy } from '../reading.ts'

export const strategies: readonly Strategy[] = ['lww', 'mvr', 'text', 'set', 'counter', 'transform']

export const deletePolicies: readonly DeletePolicy[] = ['resurrect', 'confirm']

export const shapePatterns = {
  type: '^[A-Z][A-Za-z]{0,63}$',
  transform: '^[a-z][a-z0-9-]{0,63}$',
} as const

/** Characters, elements, and the highest version. */
export const shapeLimits = {
  version: 2 ** 31 - 1,
  collectionName: 128,
  fieldName: limits.fieldNameBytes,
  separator: 16,
  /** Fields that one is split into. */
  parts: 8,
  steps: 1_000,
  partsOfId: ['id', 'resourceType'] as readonly string[],
} as const

const fieldName = { $ref: '#/$defs/fieldName' }
const fieldNames = {
  type: 'array',
  items: fieldName,
  minItems: 2,
  maxItems: shapeLimits.parts,
  uniqueItems: true,
}
const separator = { type: 'string', minLength: 1, maxLength: shapeLimits.separator }

function exactly(properties: Readonly<Record<string, unknown>>, description: string): object {
  return {
    description,
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  }
}

const steps = {
  rename: exactly({ from: fieldName, to: fieldName }, 'The field has another name.'),
  split: exactly(
    { from: fieldName, to: fieldNames, separator },
    'A text is divided at the separator; what is left goes into the last field.',
  ),
  merge: exactly(
    { from: fieldNames, to: fieldName, separator },
    'Texts are put into one, with the separator between them.',
  ),
  unit: {
    description: 'new = old × factor + offset, computed exactly.',
    type: 'object',
    properties: {
      field: fieldName,
      factor: { type: 'number', not: { const: 0 } },
      offset: { type: 'number', default: 0 },
    },
    required: ['field', 'factor'],
    additionalProperties: false,
  },
  map: exactly(
    {
      field: fieldName,
      values: {
        description:
          'Old values and new ones. A name that spells a number, true or false stands for that; the text is written with quotes of its own: "\\"1\\"".',
        type: 'object',
        minProperties: 1,
        additionalProperties: { type: ['string', 'number', 'boolean'] },
      },
    },
    'Values have other names.',
  ),
  default: exactly({ field: fieldName, value: {} }, 'What shows where nobody wrote anything.'),
}

export const schemaFormat = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Havenmesh collection schema',
  description:
    'Which fields the records of a collection have, how concurrent values of them merge, and how records of the version before are read.',
  type: 'object',
  properties: {
    $schema: { type: 'string' },
    collection: {
      description: 'Name of the collection.',
      type: 'string',
      minLength: 1,
      maxLength: shapeLimits.collectionName,
    },
    version: {
      description: 'Higher than every version before.',
      type: 'integer',
      minimum: 1,
      maximum: shapeLimits.version,
    },
    deletePolicy: { $ref: '#/$defs/deletePolicy' },
    fields: { $ref: '#/$defs/fields' },
    types: {
      description: 'By FHIR resource type: comes before what `fields` and `deletePolicy` say.',
      type: 'object',
      propertyNames: { $ref: '#/$defs/type' },
      additionalProperties: {
        type: 'object',
        properties: {
          deletePolicy: { $ref: '#/$defs/deletePolicy' },
          fields: { $ref: '#/$defs/fields' },
        },
        additionalProperties: false,
      },
    },
    otherFields: {
      description: 'Fields that nothing else names. Without it the built-in schema says.',
      $ref: '#/$defs/rule',
    },
    lens: {
      description:
        'How fields of an earlier version become those of this one. Without it they are those of the version one below.',
      type: 'object',
      properties: {
        from: { type: 'integer', minimum: 0, maximum: shapeLimits.version },
        steps: {
          type: 'array',
          maxItems: shapeLimits.steps,
          items: {
            type: 'object',
            properties: { type: { $ref: '#/$defs/type' }, ...steps },
            additionalProperties: false,
            oneOf: Object.keys(steps).map((kind) => ({ required: [kind] })),
          },
        },
      },
      required: ['from', 'steps'],
      additionalProperties: false,
    },
  },
  required: ['collection', 'version'],
  additionalProperties: false,
  $defs: {
    fieldName: {
      type: 'string',
      minLength: 1,
      maxLength: shapeLimits.fieldName,
      pattern: '^[^~]',
      not: { enum: shapeLimits.partsOfId },
    },
    type: { type: 'string', pattern: shapePatterns.type },
    deletePolicy: {
      description:
        'What becomes of a record that was deleted by somebody who had not seen an edit of it: it comes back with a marker, or a person is asked.',
      enum: deletePolicies,
    },
    fields: {
      type: 'object',
      propertyNames: fieldName,
      additionalProperties: { $ref: '#/$defs/rule' },
    },
    rule: {
      type: 'object',
      properties: {
        strategy: {
          description:
            'lww: the last value shows; mvr: a person decides; text: merged character by character; set: elements are added and removed; counter: adds up; transform: a registered function.',
          enum: strategies,
        },
        rank: {
          description: 'How much harm a wrong or missing value can do.',
          enum: ranks,
          default: 'normal',
        },
        transform: { type: 'string', pattern: shapePatterns.transform },
      },
      required: ['strategy'],
      additionalProperties: false,
      oneOf: [
        { properties: { strategy: { const: 'transform' } }, required: ['transform'] },
        { properties: { strategy: { not: { const: 'transform' } }, transform: false } },
      ],
    },
  },
} as const
