import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { coverageText } from '../coverage-text.ts'
import { parseDurationMs } from '../duration.ts'
import { openOperations } from '../open.ts'

export function addCoverage(program: Command, cli: Cli): void {
  program
    .command('coverage')
    .description('which site knew what of which other one, and what only one device holds')
    .option('--from <site>', 'only what this site wrote')
    .option('--apart <time>', 'sites without news of each other for so long are cut off', '1d')
    .action(async ({ from, apart }: { from?: string; apart: string }, command: Command) => {
      const globals = globalsOf(command, cli)
      const apartMs = parseDurationMs(apart)
      await using opened = await openOperations(cli, globals)
      const coverage = await opened.operations.coverage({ from, apartMs })
      await print(cli, globals, {
        document: { ...coverage },
        text: coverageText(coverage, cli.nowMs(), cli.stdout.columns),
      })
    })
}
