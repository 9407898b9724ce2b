import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CampDevice } from './camp-device.ts'

/** How often the devices are asked how they are. */
const refreshMs = 300

/** Three devices in a temporary directory, with nothing outside it. */
export interface Camp extends AsyncDisposable {
  registration: CampDevice
  triage: CampDevice
  pharmacy: CampDevice
  /** All of them. */
  devices: readonly CampDevice[]
  /**
   * Looks again whenever something may have changed, until `holds` does (true) or the time is up (false).
   *
   * @throws the signal's reason when the camp ends
   */
  until(holds: () => boolean, timeMs?: number): Promise<boolean>
}

export function openCamp(signal: AbortSignal, onChange: () => void): Camp {
  const directory = mkdtempSync(join(tmpdir(), 'havenmesh-'))
  const env = {
    ...process.env,
    // The marks of these devices are gone with them.
    XDG_STATE_HOME: join(directory, 'state'),
    HAVEN_DATA: undefined,
    HAVEN_PASSPHRASE: undefined,
  }
  const waiting = new Set<() => void>()
  const changed = () => {
    onChange()
    for (const look of waiting) look()
  }
  const options = { directory, env, signal }
  const registration = new CampDevice('registration', options, changed)
  const triage = new CampDevice('triage', options, changed)
  const pharmacy = new CampDevice('pharmacy', options, changed)
  const devices = [registration, triage, pharmacy]

  const refresh = setInterval(() => {
    for (const device of devices) void device.refresh()
  }, refreshMs)
  const killAll = () => {
    // Whatever way this process ends, so do the devices, and nothing is left of them.
    for (const device of devices) device.kill()
    rmSync(directory, { recursive: true, force: true })
  }
  process.on('exit', killAll)

  return {
    registration,
    triage,
    pharmacy,
    devices,
    until(holds, timeMs) {
      const { promise, resolve, reject } = Promise.withResolvers<boolean>()
      const look = () => {
        if (signal.aborted) reject(signal.reason as Error)
        else if (holds()) resolve(true)
      }
      const timer = timeMs === undefined ? undefined : setTimeout(() => resolve(false), timeMs)
      waiting.add(look)
      signal.addEventListener('abort', look)
      look()
      return promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(look)
        signal.removeEventListener('abort', look)
      })
    },
    async [Symbol.asyncDispose]() {
      clearInterval(refresh)
      await Promise.all(devices.map((device) => device.down()))
      process.off('exit', killAll)
      killAll()
    },
  }
}
