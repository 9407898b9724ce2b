/** Looks for plaintext where there must be none: in the memory of a process, and in files. */
import { createReadStream } from 'node:fs'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const chunkBytes = 4 * 1024 * 1024

/** Those of `texts` that are somewhere in the memory of this process, in one byte a character or two. ASCII. */
export async function findInMemory(pid: number, texts: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  const needles = needlesOf(texts)
  const overlap = longest(needles) - 1
  await using memory = await open(`/proc/${pid}/mem`, 'r')
  const buffer = Buffer.allocUnsafe(chunkBytes)
  for (const { start, end } of await readableRegions(pid)) {
    for (let at = start; at < end; at += chunkBytes - overlap) {
      const length = Math.min(chunkBytes, end - at)
      // A region may be gone by now, or a page of it have no content.
      const read = await memory.read(buffer, 0, length, at).catch(() => undefined)
      if (read !== undefined) match(buffer.subarray(0, read.bytesRead), needles, found)
    }
  }
  return [...found]
}

/** Those of `texts` that are in any file below these directories. */
export async function findInFiles(
  directories: readonly string[],
  texts: readonly string[],
): Promise<string[]> {
  const found = new Set<string>()
  const needles = needlesOf(texts)
  for (const directory of directories) {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true })
    for (const entry of entries.filter((it) => it.isFile())) {
      let rest: Buffer = Buffer.alloc(0)
      for await (const chunk of createReadStream(join(entry.parentPath, entry.name))) {
        const bytes = Buffer.concat([rest, chunk as Buffer])
        match(bytes, needles, found)
        rest = bytes.subarray(Math.max(0, bytes.length - longest(needles) + 1))
      }
    }
  }
  return [...found]
}

interface Needle {
  text: string
  bytes: Buffer
}

function needlesOf(texts: readonly string[]): Needle[] {
  return texts.flatMap((text) =>
    (['utf8', 'utf16le'] as const).map((encoding) => ({
      text,
      bytes: Buffer.from(text, encoding),
    })),
  )
}

function longest(needles: readonly Needle[]): number {
  return Math.max(...needles.map(({ bytes }) => bytes.length))
}

function match(bytes: Buffer, needles: readonly Needle[], found: Set<string>): void {
  for (const needle of needles) if (bytes.includes(needle.bytes)) found.add(needle.text)
}

async function readableRegions(pid: number): Promise<{ start: number; end: number }[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8')
  return maps.split('\n').flatMap((line) => {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? []
    // What the kernel shows every process, and refuses to be read that way.
    if (start === undefined || end === undefined || /\[v(?:var|syscall)/.test(line)) return []
    return { start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }
  })
}
