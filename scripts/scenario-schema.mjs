// Writes docs/schemas/scenario.json: what a scenario file of the simulator may say.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { scenarioJsonSchema } from '../simulations/scenario/json-schema.ts'

const path = fileURLToPath(new URL('../docs/schemas/scenario.json', import.meta.url))
const style = await resolveConfig(path)
writeFileSync(path, await format(scenarioJsonSchema(), { ...style, filepath: path }))
