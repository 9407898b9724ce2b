/** The `haven` command. */
import { streamOutput } from './output.ts'
import { run } from './program.ts'
import { stopSignal } from './stop-signal.ts'

/** After the last word of a command, what still holds the process is not worth waiting for. */
const exitMs = 2_000

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  stdout: streamOutput(process.stdout),
  stderr: streamOutput(process.stderr),
  async createDevice(options) {
    // Loading the store and the network takes longer than most commands that a running device answers.
    const { createDevice } = await import('../device/create-device.ts')
    return createDevice(options)
  },
  stopSignal,
  nowMs: Date.now,
})
setTimeout(() => process.exit(), exitMs).unref()
