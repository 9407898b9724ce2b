/** The published JSON Schema of scenario files. */
import { z } from 'zod'
import { scenarioSchema } from './scenario-schema.ts'

/** JSON text. */
export function scenarioJsonSchema(): string {
  const { $schema, ...schema } = z.toJSONSchema(scenarioSchema, { io: 'input' })
  return JSON.stringify({
    $schema,
    title: 'A scenario of the Havenmesh simulator',
    description: 'Durations are like 90s, 20m, 1.5h or 7d; rates like 64kbit/s; sizes like 2kB.',
    ...schema,
  })
}
