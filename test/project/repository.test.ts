import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, normalize, sep } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..', '..')
const ownPath = 'test/project/repository.test.ts'

const trackedFiles = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  // A file that is being deleted is still tracked; a link has no text of its own.
  .filter(
    (path) => path !== '' && existsSync(join(root, path)) && lstatSync(join(root, path)).isFile(),
  )
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

const pages = trackedFiles.filter(({ path }) => path.endsWith('.md'))

test('the lockfile and the npm settings name no registry', () => {
  const settings = trackedFiles.filter(({ path }) =>
    /(^|\/)(package-lock\.json|\.npmrc)$/.test(path),
  )
  expect(settings.map(({ path }) => path)).toContain('package-lock.json')
  for (const { path, text } of settings) {
    expect(text, path).not.toMatch(/"resolved": "\w+:\/\/|^\s*(@[^:]+:)?registry\s*=|^\/\//m)
  }
})

test('no tracked file names a directory of the machine it was written on', () => {
  const personal = [
    /\/(home|Users)\/(?!(user|haven)\b)[a-z][\w.-]*\//,
    /\/root\//,
    /[A-Z]:\\\\?Users/,
  ]
  const own = [root, homedir()]
    // A directory like /app may also be meant in general.
    .filter((path) => path.split(sep).length > 2)
    .map((path) => new RegExp(`(?<![\\w.])${literal(path)}(?![\\w.-])`))
  const found = trackedFiles
    .filter(
      ({ path, text }) => path !== ownPath && [...personal, ...own].some((it) => it.test(text)),
    )
    .map(({ path }) => path)
  expect(found).toEqual([])
})

test.skipIf(!existsSync(join(root, 'README.md')))(
  'every page of docs is reachable from README',
  () => {
    const linksByPath = new Map(pages.map(({ path, text }) => [path, linksOf(path, text)]))
    const reached = new Set(['README.md'])
    for (const path of reached) for (const link of linksByPath.get(path) ?? []) reached.add(link)

    const unlinked = trackedFiles
      .map(({ path }) => path)
      .filter((path) => path.startsWith('docs/') && !reached.has(path))
    expect(unlinked).toEqual([])
  },
)

test('links between pages lead somewhere', () => {
  const broken = pages.flatMap(({ path, text }) =>
    linksOf(path, text)
      .filter((link) => !existsSync(join(root, link)))
      .map((link) => `${path} -> ${link}`),
  )
  expect(broken).toEqual([])
})

/** The files that a page links to or shows, as paths from the root. */
function linksOf(page: string, text: string): string[] {
  const withoutCode = text.replaceAll(/^```.*?^```/gms, '').replaceAll(/`[^`\n]*`/g, '')
  const targets = [...withoutCode.matchAll(/\]\(([^)\s#]+)[^)]*\)|<img[^>]*\ssrc="([^"]+)"/g)]
  return targets
    .map(([, link, image]) => link ?? image ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => normalize(join(dirname(page), target)))
}

const literal = (text: string): string => text.replaceAll(/[^\w/]/g, String.raw`\$&`)
