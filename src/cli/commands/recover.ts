import type { Command } from 'commander'

import { type Cli, globalsOf, print } from '../cli.ts'
import { membershipText } from '../membership-text.ts'
import { alreadyMember, openDevice } from '../open.ts'

interface Options {
  words: string[]
  device?: string
  peer?: string[]
}

export function addRecover(program: Command, cli: Cli): void {
  program
    .command('recover')
    .description(
      "make this empty device an admin by the recovery words, when the founder's is gone",
    )
    .requiredOption(
      '--words <word...>',
      'the words that `haven init` showed; - reads them from standard input',
    )
    .option('--device <name>', 'name of this device (default: the name of the computer)')
    .option('--peer <multiaddr...>', 'addresses of other devices, where they are not found')
    .action(async (options: Options, command: Command) => {
      const globals = globalsOf(command, cli)
      const words =
        options.words.join(' ') === '-' ? await readText(cli.stdin) : options.words.join(' ')
      await using device = await openDevice(cli, globals, { whileUp: alreadyMember })
      const recovered = await device.recover({
        words: words.trim().replaceAll(/\s+/g, ' '),
        deviceName: options.device,
        peers: options.peer,
        signal: cli.stopSignal(),
      })
      await print(cli, globals, { document: recovered, text: membershipText(recovered) })
    })
}

/** The words are a few dozen bytes; nothing longer is read. */
async function readText(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) {
    text += Buffer.from(chunk).toString('utf8')
    if (text.length > 4_096) break
  }
  return text
}
