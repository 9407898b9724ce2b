import type { DeviceOptions } from '../device/api.ts'
import { isLogged, logLevel } from '../observe/log-level.ts'
import type { Cli } from './cli.ts'
import { padded } from './cells.ts'
import { printable, timeOfDay } from './printable.ts'

/**
 * Where a device's log goes: standard error, from the level that `HAVEN_LOG` names (`warn` when it names none). Lines of JSON,
 * or sentences at a terminal.
 */
export function deviceLog(cli: Cli): NonNullable<DeviceOptions['log']> {
  const level = logLevel(cli.env.HAVEN_LOG)
  // Most commands are over before the logger would have been loaded, with nothing to log.
  let logging: ReturnType<typeof openLog> | undefined
  return (event) => {
    if (!isLogged(event.level, level)) return
    logging ??= openLog(cli, level)
    void logging.then((log) => log(event))
  }
}

async function openLog(cli: Cli, level: ReturnType<typeof logLevel>) {
  const { createLog } = await import('../observe/log.ts')
  return createLog(level, {
    write(line) {
      // A full disk under a log must not end the device that the log is about.
      cli.stderr.write(cli.stderr.isTerminal ? sentence(line) : line).catch(() => {})
    },
  })
}

function sentence(line: string): string {
  const { level, time, code, msg } = JSON.parse(line) as Record<string, string>
  return `${timeOfDay(time!)}  ${padded(level!, 8)}  ${printable(msg!)} (${code})\n`
}
