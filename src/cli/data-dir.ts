import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

type Environment = Record<string, string | undefined>

/**
 * Where a device keeps its store: `--data`, else `HAVEN_DATA`, else `haven` in the XDG data directory. A server's is called by another name.
 *
 * @see https://specifications.freedesktop.org/basedir-spec/: a relative `XDG_DATA_HOME` counts as not set
 */
export function dataDirectory(
  option: string | undefined,
  env: Environment,
  name = 'haven',
): string {
  const chosen = option ?? env.HAVEN_DATA
  if (chosen !== undefined && chosen !== '') return resolve(chosen)
  const base = env.XDG_DATA_HOME
  const home = env.HOME ?? homedir()
  return join(base?.startsWith('/') ? base : join(home, '.local', 'share'), name)
}
