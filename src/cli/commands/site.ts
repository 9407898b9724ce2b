import type { Command } from 'commander'

import type { DeviceSite } from '../../device/api.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { nameOf } from '../event-text.ts'
import { usage } from '../failure.ts'
import { openOperations } from '../open.ts'
import { printable } from '../printable.ts'

interface SiteOptions {
  clear?: boolean
  of?: string
}

export function addSite(program: Command, cli: Cli): void {
  program
    .command('site')
    .description('at which site this device is used: say it, or show it')
    .argument('[name]', 'such as the name of the camp, the same on all its devices')
    .option('--clear', 'take back what was said here')
    .option('--of <device>', 'another device; an admin says it for one that only carries')
    .action(async (name: string | undefined, { clear, of }: SiteOptions, command: Command) => {
      if (clear === true && name !== undefined)
        throw usage('--clear takes back what was said: leave the name out.')
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      const { operations } = opened
      const site =
        name === undefined && clear !== true
          ? await operations.site(of)
          : await operations.setSite(name ?? null, of)
      await print(cli, globals, { document: { ...site }, text: siteText(site) })
    })
}

function siteText({ device, site }: DeviceSite): string {
  if (site !== null) return `${nameOf(device)} is used at ${printable(site)}.`
  return `Nobody has said where ${nameOf(device)} is used, or this device can not read it: haven site NAME says it.`
}
