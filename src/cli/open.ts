import { stat } from 'node:fs/promises'

import { HavenError, isHavenError } from '../core/errors.ts'
import { findRunningDevice } from '../daemon/local-client.ts'
import type { Device, DeviceOperations, DeviceOptions } from '../device/api.ts'
import type { Cli, Globals } from './cli.ts'
import { deviceLog } from './log.ts'

/** Two commands on one data directory wait for each other this long. */
const busyMs = 5_000
/** In between, `haven up` may have been the one that came first. */
const retryMs = 500

export interface OpenOperations extends AsyncDisposable {
  operations: DeviceOperations
  /** Undefined when a running `haven up` answers. */
  device: Device | undefined
}

/**
 * The operations of this data directory's device: of the one that runs there, else from its store.
 *
 * @throws HavenError `NOT_MEMBER` when there is no data directory; `STORE_BUSY` and others of the store
 */
export async function openOperations(cli: Cli, { dataDir }: Globals): Promise<OpenOperations> {
  await requireDataDirectory({ dataDir })
  for (let waitedMs = 0; ; waitedMs += retryMs) {
    const operations = await findRunningDevice(dataDir, cli.env)
    if (operations !== undefined)
      return { operations, device: undefined, [Symbol.asyncDispose]: async () => {} }
    try {
      const device = await cli.createDevice(deviceOptions(cli, dataDir, retryMs))
      return { operations: device, device, [Symbol.asyncDispose]: () => device.close() }
    } catch (error) {
      if (!isHavenError(error, 'STORE_BUSY') || waitedMs + retryMs >= busyMs) throw error
    }
  }
}

/** Like {@link openOperations}, but nothing where there is no data directory, which is then not made either. */
export async function openOperationsIfAny(
  cli: Cli,
  globals: Globals,
): Promise<OpenOperations | undefined> {
  return (await exists(globals.dataDir)) ? openOperations(cli, globals) : undefined
}

/**
 * The device itself, for what can't go through a running one.
 *
 * @throws HavenError what `whileUp` gives when `haven up` runs there
 */
export async function openDevice(
  cli: Cli,
  { dataDir }: Globals,
  { whileUp }: { whileUp: () => HavenError },
): Promise<Device> {
  const refuseWhileUp = async () => {
    if ((await findRunningDevice(dataDir, cli.env)) !== undefined) throw whileUp()
  }
  await refuseWhileUp()
  try {
    return await cli.createDevice(deviceOptions(cli, dataDir, busyMs))
  } catch (error) {
    if (isHavenError(error, 'STORE_BUSY')) await refuseWhileUp()
    throw error
  }
}

/** So that a mistyped `--data` is said and not made. */
export async function requireDataDirectory({ dataDir }: Pick<Globals, 'dataDir'>): Promise<void> {
  if (!(await exists(dataDir))) throw noMesh(dataDir)
}

/** For `openDevice` of the commands that begin a membership. */
export function alreadyMember(): HavenError {
  return new HavenError(
    'ALREADY_MEMBER',
    'This device is a member of a mesh, and `haven up` runs for it: choose another --data directory for another device.',
  )
}

export function noMesh(dataDir: string): HavenError {
  return new HavenError(
    'NOT_MEMBER',
    `There is no device in ${dataDir}: run \`haven init --mesh NAME\` to found a mesh, or \`haven join CODE\` to join one.`,
  )
}

function deviceOptions(cli: Cli, dataDir: string, lockWaitMs: number): DeviceOptions {
  const passphrase = cli.env.HAVEN_PASSPHRASE
  return {
    dataDir,
    lockWaitMs,
    ...(passphrase ? { passphrase } : {}),
    log: deviceLog(cli),
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
