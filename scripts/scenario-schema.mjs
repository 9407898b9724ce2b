// Writes docs/schemas/scenario.json: what a scenario file of the simulator may say.
import { writeFileSync } from 'node:fs'
import prettier from 'prettier'
import { scenarioJsonSchema } from '../simulations/scenario/json-schema.ts'

const path = new URL('../docs/schemas/scenario.json', import.meta.url)
writeFileSync(path, await prettier.format(scenarioJsonSchema(), { parser: 'json' }))
