// node scripts/with-node.mjs <tool or file> [arguments]
//
// Runs a development tool (vitest, tsc, ...) or one of our files under the pinned Node.js. Tools are
// started explicitly because their own first line, `#!/usr/bin/env node`, picks whatever is in PATH.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root, runUnderPinnedNode } from './pinned-node.mjs'

const packageByTool = { tsc: 'typescript', depcruise: 'dependency-cruiser' }

function toolScript(tool) {
  const manifest = join(root, 'node_modules', packageByTool[tool] ?? tool, 'package.json')
  if (!existsSync(manifest)) {
    console.error(`${tool} is not installed: run "npm ci" first.`)
    process.exit(1)
  }
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'))
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[tool])
}

const [target, ...args] = process.argv.slice(2)
if (target === undefined) {
  console.error('usage: node scripts/with-node.mjs <tool or file> [arguments]')
  process.exit(1)
}
runUnderPinnedNode([
  /\.[cm]?[jt]s$/.test(target) ? join(root, target) : toolScript(target),
  ...args,
])
