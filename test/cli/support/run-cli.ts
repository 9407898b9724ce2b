import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

import type { Cli } from '../../../src/cli/cli.ts'
import { run } from '../../../src/cli/program.ts'
import type { DeviceOptions } from '../../../src/device/api.ts'
import { fakeDevice, type FakeDevice } from './fake-device.ts'

export interface CliRun {
  exitCode: number
  stdout: string
  stderr: string
  device: FakeDevice
  opened: DeviceOptions[]
}

export interface CliOptions {
  device?: FakeDevice
  createDevice?: Cli['createDevice']
  env?: Record<string, string>
  stdin?: string
  stop?: AbortSignal
  onOutput?: (text: string) => void
}

/** Runs a command line on a fake device and a data directory that exists. */
export async function runCli(args: string[], options: CliOptions = {}): Promise<CliRun> {
  const { device = fakeDevice(), env = {}, stdin = '', stop, onOutput } = options
  const opened: DeviceOptions[] = []
  let stdout = ''
  let stderr = ''
  const output = (take: (text: string) => void) => ({
    isTerminal: false,
    columns: 80,
    rows: 24,
    closed: new AbortController().signal,
    write: async (text: string) => take(text),
  })
  const exitCode = await run(args, {
    env: { HAVEN_DATA: temporaryDirectory(), XDG_RUNTIME_DIR: temporaryDirectory(), ...env },
    stdin: (async function* () {
      yield Buffer.from(stdin)
    })(),
    stdout: output((text) => {
      stdout += text
      onOutput?.(text)
    }),
    stderr: output((text) => {
      stderr += text
    }),
    createDevice: async (deviceOptions) => {
      opened.push(deviceOptions)
      return options.createDevice?.(deviceOptions) ?? device
    },
    stopSignal: () => stop ?? new AbortController().signal,
    nowMs: () => Date.UTC(2026, 10, 22, 10, 32),
  })
  return { exitCode, stdout, stderr, device, opened }
}

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'haven-test-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}
