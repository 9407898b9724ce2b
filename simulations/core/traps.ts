/**
 * While a run goes on, whatever would make it differ from another run with the same seed throws: the wall clock, chance, timers, the thread
 * pool.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import zlib from 'node:zlib'

type Holder = Record<string, unknown>

/** What `new Y.Doc` reads for its own use; the guid that it is given replaces both. */
const yjs = /[/\\](?:yjs|lib0)[/\\]/

const trapped: readonly {
  readonly of: object
  readonly name: string
  readonly allowYjs?: boolean
}[] = [
  { of: Date, name: 'now', allowYjs: true },
  { of: Math, name: 'random', allowYjs: true },
  { of: performance, name: 'now' },
  { of: globalThis, name: 'setTimeout' },
  { of: globalThis, name: 'setInterval' },
  { of: globalThis, name: 'setImmediate' },
  { of: globalThis, name: 'fetch' },
  ...[
    'randomBytes',
    'randomFillSync',
    'randomFill',
    'randomInt',
    'randomUUID',
    'pbkdf2',
    'scrypt',
    'hkdf',
  ].map((name) => ({ of: crypto, name })),
  ...[
    'deflate',
    'inflate',
    'deflateRaw',
    'inflateRaw',
    'gzip',
    'gunzip',
    'brotliCompress',
    'brotliDecompress',
    'zstdCompress',
    'zstdDecompress',
  ].map((name) => ({ of: zlib, name })),
]

/**
 * Sets the traps.
 *
 * @returns takes them away again
 */
export function setTraps(): () => void {
  const undo: (() => void)[] = []
  for (const { of, name, allowYjs = false } of trapped) {
    const holder = of as Holder
    const real = holder[name]
    if (typeof real !== 'function') continue
    const own = Object.getOwnPropertyDescriptor(holder, name)
    Object.defineProperty(holder, name, {
      configurable: true,
      writable: true,
      enumerable: own?.enumerable ?? false,
      value: function trap(this: unknown, ...args: unknown[]): unknown {
        if (allowYjs && yjs.test(new Error('trap').stack ?? ''))
          return Reflect.apply(real, this, args)
        throw new Error(`${name} was called in a simulated run: it would not be the same twice`)
      },
    })
    undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(holder, name)
      else Object.defineProperty(holder, name, own)
    })
  }
  undo.push(trapWebCrypto())
  // Modules that have imported these by name see the traps too.
  syncBuiltinESMExports()
  return () => {
    for (const step of undo.toReversed()) step()
    syncBuiltinESMExports()
  }
}

/** Its methods can't be replaced, so it is, as a whole. */
function trapWebCrypto(): () => void {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!
  const real = globalThis.crypto
  Object.defineProperty(globalThis, 'crypto', {
    configurable: true,
    get() {
      if (yjs.test(new Error('trap').stack ?? '')) return real
      throw new Error('crypto was used in a simulated run: it would not be the same twice')
    },
  })
  return () => Object.defineProperty(globalThis, 'crypto', own)
}
