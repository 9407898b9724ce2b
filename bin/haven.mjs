#!/usr/bin/env node
// Starts the command line: the compiled one in the published package, the sources in a checkout.
// Plain JavaScript that Node 18 understands, so that an old Node gets a sentence and not a stack trace.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const source = new URL('../src/cli/main.ts', import.meta.url)
const setup = new URL('../scripts/setup.mjs', import.meta.url)
const launcher = new URL('../scripts/pinned-node.mjs', import.meta.url)
const packages = new URL('../node_modules/.package-lock.json', import.meta.url)
const inCheckout = existsSync(setup)
const isNewEnough = Number.parseInt(process.versions.node, 10) >= 24

if (inCheckout && !existsSync(packages)) await import(setup.href)

if (inCheckout && !existsSync(source)) {
  fail('this checkout has no src/cli/main.ts, so there is no command line to start')
} else if (isNewEnough) {
  // In this process: starting a second one would double the time until the first output.
  await import(inCheckout ? source.href : new URL('../dist/src/cli/main.js', import.meta.url).href)
} else if (inCheckout) {
  const { runUnderPinnedNode } = await import(launcher.href)
  runUnderPinnedNode([fileURLToPath(source), ...process.argv.slice(2)])
} else {
  fail(`Node.js 24 or newer is needed, this is ${process.version}: see https://nodejs.org`)
}

function fail(reason) {
  console.error(`haven: ${reason}`)
  process.exitCode = 1
}
