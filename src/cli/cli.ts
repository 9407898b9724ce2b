import type { Command } from 'commander'

import type { Device, DeviceOptions } from '../device/api.ts'
import { dataDirectory } from './data-dir.ts'
import { jsonText, type JsonValue } from './json.ts'
import type { Output } from './output.ts'

/** What a command has of the world; tests pass their own. */
export interface Cli {
  readonly env: Record<string, string | undefined>
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdout: Output
  readonly stderr: Output
  createDevice(options: DeviceOptions): Promise<Device>
  /** From the first call on, SIGINT and SIGTERM abort this signal instead of ending the process; a second one ends it. */
  stopSignal(): AbortSignal
  nowMs(): number
}

export interface Globals {
  dataDir: string
  json: boolean
}

/** The options that every command has, wherever on the line they stand. */
export function globalsOf(command: Command, cli: Cli): Globals {
  const { data, json } = command.optsWithGlobals<{ data?: string; json?: boolean }>()
  return { dataDir: dataDirectory(data, cli.env), json: json === true }
}

/** Prints the answer of a command: the document with `--json`, the text for people otherwise. */
export async function print(
  cli: Cli,
  { json }: Globals,
  answer: { document: JsonValue; text: string },
): Promise<void> {
  await cli.stdout.write(`${json ? jsonText(answer.document) : answer.text}\n`)
}
