import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import {
  documentedImportTable,
  importTable,
  renderedImportTable,
} from '../../scripts/import-table.mjs'

const root = join(import.meta.dirname, '..', '..')

test('the documented import table is the one that is enforced', async () => {
  // When this fails: npm run docs:imports
  expect(documentedImportTable()).toBe(await renderedImportTable())
})

test('every folder of src has a row', () => {
  expect(Object.keys(importTable)).toEqual(expect.arrayContaining(readdirSync(join(root, 'src'))))
})

test('the sources keep to the table, and the check really read them', () => {
  const { violations, modulesRead } = checkImports(root)
  expect(violations).toEqual([])
  expect(modulesRead).toBeGreaterThan(0)
})

test.each([
  ['a folder below', 'core-folders', { 'core/a.ts': `import '../sync/b.ts'`, 'sync/b.ts': '' }],
  [
    'a type of a folder below',
    'core-folders',
    {
      'core/a.ts': `import type { B } from '../sync/b.ts'; export type A = B`,
      'sync/b.ts': 'export type B = 1',
    },
  ],
  ['a package', 'core-packages', { 'core/a.ts': `import 'pino'` }],
  ['a package of another folder', 'records-packages', { 'records/a.ts': `import 'level'` }],
  ['a Node.js module', 'core-node', { 'core/a.ts': `import 'node:fs'` }],
  ['another Node.js module', 'crypto-node', { 'crypto/a.ts': `import 'node:fs'` }],
  [
    'more than types',
    'store-types-only',
    {
      'store/a.ts': `import { b } from '../records/b.ts'; export const a = b`,
      'records/b.ts': 'export const b = 1',
    },
  ],
  [
    'anything in a folder without a row',
    'every-folder-has-a-row',
    { 'misc/a.ts': `import 'node:fs'` },
  ],
  ['a development package', 'no-development-packages', { 'store/a.ts': `import 'memory-level'` }],
  ['what does not exist', 'resolvable', { 'core/a.ts': `import './b.ts'` }],
  ['a circle', 'no-cycles', { 'core/a.ts': `import './b.ts'`, 'core/b.ts': `import './a.ts'` }],
])('reports when the sources import %s', (_, rule, files) => {
  expect(checkImports(sourceTree(files)).violations).toContain(rule)
})

test('accepts what the table allows', () => {
  const tree = sourceTree({
    'core/a.ts': 'export const a = 1',
    'crypto/b.ts': `import { a } from '../core/a.ts'; import 'node:zlib'; export const b = a`,
    'records/c.ts': `import { a } from '../core/a.ts'; import 'yjs'; import 'lib0/encoding'; export type T = typeof a`,
    'store/d.ts': `import type { T } from '../records/c.ts'; import 'level'; import 'node:fs/promises'; export type U = T`,
    'mesh/e.ts': `import 'libp2p'; import '@libp2p/crypto/keys'; import '@multiformats/multiaddr'`,
  })
  expect(checkImports(tree)).toEqual({ violations: [], modulesRead: expect.any(Number) })
})

/** Checks the imports in `<directory>/src` the way `npm run deps` does. */
function checkImports(directory: string): { violations: string[]; modulesRead: number } {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'),
      '--config',
      join(root, '.dependency-cruiser.cjs'),
      '--output-type',
      'json',
      'src',
    ],
    { cwd: directory, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  if (stdout === '') throw new Error(stderr)
  const { modules, summary } = JSON.parse(stdout) as {
    modules: { source: string }[]
    summary: { violations: { rule: { name: string } }[] }
  }
  return {
    violations: summary.violations.map((violation) => violation.rule.name),
    modulesRead: modules.filter((module) => module.source.startsWith('src/')).length,
  }
}

/** A temporary checkout whose src/ holds only these files. */
function sourceTree(textByPath: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'import-table-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  // Which packages are for development only is read from here.
  symlinkSync(join(root, 'package.json'), join(directory, 'package.json'))
  for (const [path, text] of Object.entries(textByPath)) {
    const file = join(directory, 'src', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  return directory
}
