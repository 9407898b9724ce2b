// Draws the import table of .dependency-cruiser.cjs as Markdown.
// `npm run docs:imports` writes it into docs/architecture.md; a test compares the two.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { format } from 'prettier'
import { root } from './pinned-node.mjs'

/** What each folder of src/ may import. */
export const { importTable } = createRequire(import.meta.url)('../.dependency-cruiser.cjs')

const start = '<!-- import table: start (written by `npm run docs:imports`) -->'
const end = '<!-- import table: end -->'
const page = join(root, 'docs', 'architecture.md')

const none = '—'

/** The table as Markdown, formatted the way `npm run format` leaves it. */
export async function renderedImportTable() {
  const rows = Object.entries(importTable).map(
    ([importer, { folders = [], types = [], packages = [], node = [] }]) => {
      const cells = [
        `\`${importer}\``,
        [...folders, ...types.map((folder) => `${folder} (types only)`)].join(' '),
        packages.map((name) => `\`${name.replace(/\/$/, '/*')}\``).join(' '),
        node === 'all' ? 'any' : node.map((module) => `\`node:${module}\``).join(' '),
      ]
      return `| ${cells.map((cell) => cell || none).join(' | ')} |`
    },
  )
  const header =
    '| in `src/` | may import | packages | Node.js modules |\n| --- | --- | --- | --- |'
  return (await format([header, ...rows].join('\n'), { parser: 'markdown' })).trim()
}

/** The table that docs/architecture.md shows between its two markers. */
export function documentedImportTable() {
  const { from, to, text } = markedPart()
  return text.slice(from, to).trim()
}

function markedPart() {
  const text = readFileSync(page, 'utf8')
  const from = text.indexOf(start) + start.length
  const to = text.indexOf(end)
  if (from < start.length || to < from) throw new Error(`${page} lacks the markers ${start} ${end}`)
  return { text, from, to }
}

if (import.meta.main) {
  const { text, from, to } = markedPart()
  const table = await renderedImportTable()
  writeFileSync(page, `${text.slice(0, from)}\n\n${table}\n\n${text.slice(to)}`)
}
