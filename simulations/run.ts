/** `node simulations/run.ts …`: the simulator without the rest. */
import { simulate } from './cli.ts'

process.exitCode = await simulate(process.argv.slice(2), {
  write: (text) => process.stdout.write(text),
  warn: (text) => process.stderr.write(text),
  nowMs: () => performance.now(),
})
