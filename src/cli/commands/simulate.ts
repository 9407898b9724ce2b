import type { Command } from 'commander'

import type { Cli } from '../cli.ts'

/** For the list of commands: what comes after it is for the simulator, a program of its own ({@link runSimulator}). */
export function addSimulate(program: Command): void {
  program
    .command('simulate')
    .description(
      'play a scenario of partitions with the same code, in virtual time (for researchers)',
    )
    .argument('<scenario>', 'a scenario file; `haven simulate --help` says more')
    .helpOption(false)
    .allowUnknownOption()
}

/** @returns the exit code */
export async function runSimulator(args: readonly string[], cli: Cli): Promise<number> {
  const { simulate } = await import('../../../simulations/cli.ts')
  return simulate(args, {
    write: (text) => void cli.stdout.write(text),
    warn: (text) => void cli.stderr.write(text),
    nowMs: () => performance.now(),
  })
}
