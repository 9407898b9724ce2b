// Installs the packages when they are missing or differ from the lockfile; otherwise does nothing.
// Plain JavaScript that Node 18 understands: it runs before the right Node is there.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from './pinned-node.mjs'

/**
 * Whether node_modules holds what the lockfile asks for. npm leaves its own record of what it
 * installed there, written last, so an interrupted installation counts as none. Contents are
 * compared because `git checkout` gives files new times without changing them.
 */
function isInstalled() {
  const wanted = readPackages(join(root, 'package-lock.json'))
  const installed = readPackages(join(root, 'node_modules', '.package-lock.json'))
  if (wanted === undefined || installed === undefined) return false
  return Object.entries(wanted).every(([path, { version, integrity, optional, link }]) => {
    if (!path.startsWith('node_modules/') || link) return true
    const found = installed[path]
    // An optional package is absent when it is for another platform.
    if (found === undefined) return optional === true
    return found.version === version && found.integrity === integrity
  })
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages
  } catch {
    // Missing, or cut short: either way the answer is to install.
    return undefined
  }
}

function install() {
  console.error(
    'Havenmesh: installing the packages (npm ci); this takes about a minute the first time',
  )
  // `npm run` puts node_modules/.bin first in PATH: npm would run on the very Node it is replacing.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((directory) => !directory.startsWith(join(root, 'node_modules')))
    .join(delimiter)
  // No package needs its install script.
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts'], {
    cwd: root,
    env: { ...process.env, PATH: path },
    shell: process.platform === 'win32',
    // Standard output belongs to the command that follows, which may print JSON.
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) {
    console.error('Havenmesh: "npm ci" failed; the reason is above.')
    process.exit(1)
  }
}

if (!isInstalled()) install()
