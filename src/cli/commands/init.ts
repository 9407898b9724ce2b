import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { alreadyMember, openDevice } from '../open.ts'
import { printable } from '../printable.ts'

export function addInit(program: Command, cli: Cli): void {
  program
    .command('init')
    .description('found a mesh, with this device as its first admin')
    .requiredOption('--mesh <name>', 'name of the mesh, such as that of the clinic')
    .option('--device <name>', 'name of this device (default: the name of the computer)')
    .option('--site <name>', 'where this device is used, such as the name of the camp')
    .action(async (options: { mesh: string; device?: string; site?: string }, command: Command) => {
      const globals = globalsOf(command, cli)
      await using device = await openDevice(cli, globals, { whileUp: alreadyMember })
      const founded = await device.found({
        meshName: options.mesh,
        deviceName: options.device,
        site: options.site,
      })
      await print(cli, globals, { document: founded, text: foundedText(founded) })
    })
}

function foundedText(founded: {
  mesh: { name: string | null }
  device: { name: string | null }
  recovery: string
}): string {
  return `This device, ${printable(founded.device.name ?? 'unnamed')}, is the first admin of the mesh ${printable(founded.mesh.name ?? 'unnamed')}.

Recovery words:

    ${founded.recovery}

Write them down on paper and keep them in a safe place. They are shown this once and kept nowhere; with them, a new
device can take over when this one is gone. Whoever has them can read and admit everything.

Next:  haven up        runs this device
       haven invite    lets another one in
`
}
