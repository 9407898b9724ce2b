/**
 * JSON as text: what a clinic's system wrote goes through unchanged, number lexemes, escapes and unusual keys included,
 * which `JSON.parse` would lose (`1.00`, `__proto__`, the order of members).
 *
 * Strict RFC 8259, and stricter: two members of one object may not have the same name, since readers disagree which of
 * them counts, and lone surrogates are refused, since they have no UTF-8.
 */
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/**
 * The members of an object in their order: the name with its escapes resolved, the value as JSON text without
 * insignificant white space.
 *
 * @throws HavenError `JSON_INVALID` with line and column, never with content
 */
export function membersOf(text: string): [name: string, json: string][] {
  return new Scanner(text).members()
}

/**
 * The elements of an array as JSON text without insignificant white space.
 *
 * @throws HavenError `JSON_INVALID`
 */
export function elementsOf(text: string): string[] {
  return new Scanner(text).elements()
}

/**
 * Any JSON value without its insignificant white space.
 *
 * @throws HavenError `JSON_INVALID`
 */
export function compactJson(text: string): string {
  return new Scanner(text).compact()
}

/** A text without escapes, or a number; anything else takes the scanner. */
const plainValue =
  /^(?:"[ !#-[\]-\ud7ff\ue000-\u{10ffff}]*"|-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?)$/u

/** Texts that were found to be compact lately, by a few of their characters. */
const recentCompact: string[] = Array.from({ length: 256 }, () => '')
const recentLength = 1024

function recentSlot(text: string): number {
  const { length } = text
  const sample =
    text.charCodeAt(length >> 1) * 7 +
    text.charCodeAt(length >> 2) * 13 +
    text.charCodeAt(length - 4) * 29
  return (sample + length * 31) & 0xff
}

/** Whether `compactJson` would return just this text: what a value inside a commit has to be. */
export function isCompactJson(text: string): boolean {
  // Most values are a plain text or a number: seen without a scanner.
  if (plainValue.test(text)) return true
  // And many of the others are what other records say too.
  const slot = recentSlot(text)
  if (recentCompact[slot] === text) return true
  try {
    if (new Scanner(text).compact() !== text) return false
    // A copy: it may be a part of a text that is much longer.
    if (text.length <= recentLength)
      recentCompact[slot] = Buffer.from(text, 'utf8').toString('utf8')
    return true
  } catch (error) {
    if (error instanceof HavenError) return false
    throw error
  }
}

/**
 * The value without insignificant white space, with the string values of every member of that name replaced by what
 * `replace` returns for them (undefined: left as they are, escapes included).
 *
 * @throws HavenError `JSON_INVALID`
 */
export function replaceStrings(
  text: string,
  memberName: string,
  replace: (value: string) => string | undefined,
): string {
  return new Scanner(text, { memberName, replace }).compact()
}

/**
 * One text for all texts of the same value: members sorted by name, escapes in their shortest form. Numbers stay as they are:
 * `1.0` says another precision than `1`.
 *
 * @throws HavenError `JSON_INVALID`
 */
export function canonicalJson(text: string): string {
  if (plainValue.test(text)) return text
  const compact = compactJson(text)
  if (compact.startsWith('"')) return JSON.stringify(JSON.parse(compact))
  if (compact.startsWith('[')) return `[${elementsOf(compact).map(canonicalJson).join(',')}]`
  if (!compact.startsWith('{')) return compact
  const members = membersOf(compact)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, json]) => `${JSON.stringify(name)}:${canonicalJson(json)}`)
  return `{${members.join(',')}}`
}

interface Replacing {
  readonly memberName: string
  readonly replace: (value: string) => string | undefined
}

/** Objects with more members than this compare their names by a set. */
const fewNames = 16

const quote = 0x22
const backslash = 0x5c

class Scanner {
  readonly #text: string
  readonly #replacing: Replacing | undefined
  #at = 0
  #depth = 0
  /** What has been taken over of the value being read, up to `#from`. */
  #out = ''
  #from = 0
  /** Names of the members of all open objects, the innermost last. */
  readonly #names: string[] = []

  constructor(text: string, replacing?: Replacing) {
    this.#text = text
    this.#replacing = replacing
    if (!text.isWellFormed()) this.#fail('has characters that are no Unicode text')
  }

  compact(): string {
    this.#space()
    this.#start()
    this.#value()
    const json = this.#taken()
    this.#end()
    return json
  }

  members(): [string, string][] {
    const members: [string, string][] = []
    this.#space()
    if (this.#text.charCodeAt(this.#at) !== 0x7b) this.#fail('should be an object')
    this.#at++
    this.#depth = 1
    this.#space()
    const names = new Set<string>()
    if (this.#text.charCodeAt(this.#at) === 0x7d) {
      this.#at++
      this.#end()
      return members
    }
    for (;;) {
      const name = this.#name()
      if (!name.isWellFormed()) this.#fail('has a name that is no Unicode text')
      if (names.has(name)) this.#fail('has two members of the same name')
      names.add(name)
      this.#colon()
      this.#start()
      this.#value(name)
      members.push([name, this.#taken()])
      if (!this.#more(0x7d)) break
    }
    this.#end()
    return members
  }

  elements(): string[] {
    const elements: string[] = []
    this.#space()
    if (this.#text.charCodeAt(this.#at) !== 0x5b) this.#fail('should be an array')
    this.#at++
    this.#depth = 1
    this.#space()
    if (this.#text.charCodeAt(this.#at) === 0x5d) {
      this.#at++
      this.#end()
      return elements
    }
    for (;;) {
      this.#start()
      this.#value()
      elements.push(this.#taken())
      if (!this.#more(0x5d)) break
    }
    this.#end()
    return elements
  }

  #start(): void {
    this.#out = ''
    this.#from = this.#at
  }

  #taken(): string {
    const rest = this.#text.slice(this.#from, this.#at)
    return this.#out === '' ? rest : this.#out + rest
  }

  #end(): void {
    this.#space()
    if (this.#at < this.#text.length) this.#fail('goes on after its end')
  }

  #value(memberName?: string): void {
    const code = this.#text.charCodeAt(this.#at)
    if (code === quote) {
      const start = this.#at
      this.#string()
      if (memberName !== undefined && memberName === this.#replacing?.memberName) {
        this.#replaceFrom(start)
      }
    } else if (code === 0x7b) this.#object()
    else if (code === 0x5b) this.#array()
    else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) this.#number()
    else if (code === 0x74) this.#literal('true')
    else if (code === 0x66) this.#literal('false')
    else if (code === 0x6e) this.#literal('null')
    else this.#fail(this.#at < this.#text.length ? 'has no value here' : 'ends too early')
  }

  #replaceFrom(start: number): void {
    const value = JSON.parse(this.#text.slice(start, this.#at)) as string
    const replacement = this.#replacing?.replace(value)
    if (replacement === undefined) return
    this.#out += this.#text.slice(this.#from, start) + JSON.stringify(replacement)
    this.#from = this.#at
  }

  #object(): void {
    this.#enter()
    const names = this.#names
    const first = names.length
    let manyNames: Set<string> | undefined
    this.#space()
    if (this.#text.charCodeAt(this.#at) === 0x7d) this.#at++
    else {
      for (;;) {
        const name = this.#name()
        if (manyNames === undefined) {
          for (let i = first; i < names.length; i++) {
            if (names[i] === name) this.#fail('has two members of the same name')
          }
          if (names.length - first >= fewNames) manyNames = new Set(names.slice(first))
        } else if (manyNames.has(name)) this.#fail('has two members of the same name')
        manyNames?.add(name)
        names.push(name)
        this.#colon()
        this.#value(name)
        if (!this.#more(0x7d)) break
      }
      names.length = first
    }
    this.#depth--
  }

  #array(): void {
    this.#enter()
    this.#space()
    if (this.#text.charCodeAt(this.#at) === 0x5d) this.#at++
    else {
      do this.#value()
      while (this.#more(0x5d))
    }
    this.#depth--
  }

  #enter(): void {
    if (++this.#depth > limits.jsonDepth) this.#fail('is nested too deeply')
    this.#at++
  }

  /** After a value: true at a comma, false at the closing character. */
  #more(closing: number): boolean {
    this.#space()
    const code = this.#text.charCodeAt(this.#at)
    if (code === 0x2c) {
      this.#at++
      this.#space()
      return true
    }
    if (code !== closing) this.#fail('has something other than a comma here')
    this.#at++
    return false
  }

  #name(): string {
    const start = this.#at
    if (this.#text.charCodeAt(start) !== quote) this.#fail('has no member name here')
    const escaped = this.#string()
    return escaped
      ? (JSON.parse(this.#text.slice(start, this.#at)) as string)
      : this.#text.slice(start + 1, this.#at - 1)
  }

  #colon(): void {
    this.#space()
    if (this.#text.charCodeAt(this.#at) !== 0x3a) this.#fail('has no colon here')
    this.#at++
    this.#space()
  }

  /** Returns whether there are escapes in it. */
  #string(): boolean {
    const text = this.#text
    let at = this.#at + 1
    let escaped = false
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === quote) break
      if (code === backslash) {
        escaped = true
        at = this.#escape(at)
      } else if (code >= 0x20) at++
      else {
        this.#at = at
        this.#fail(at < text.length ? 'has a control character in a text' : 'ends too early')
      }
    }
    this.#at = at + 1
    return escaped
  }

  #escape(at: number): number {
    const code = this.#text.charCodeAt(at + 1)
    if (code === 0x75) {
      for (let i = at + 2; i < at + 6; i++) {
        if (!isHexDigit(this.#text.charCodeAt(i))) {
          this.#at = at
          this.#fail('has an unknown escape')
        }
      }
      return at + 6
    }
    // " \ / b f n r t
    if (
      code === quote ||
      code === backslash ||
      code === 0x2f ||
      code === 0x62 ||
      code === 0x66 ||
      code === 0x6e ||
      code === 0x72 ||
      code === 0x74
    ) {
      return at + 2
    }
    this.#at = at
    return this.#fail('has an unknown escape')
  }

  #number(): void {
    const text = this.#text
    let at = this.#at
    if (text.charCodeAt(at) === 0x2d) at++
    if (text.charCodeAt(at) === 0x30) at++
    else at = this.#digits(at)
    if (text.charCodeAt(at) === 0x2e) at = this.#digits(at + 1)
    const code = text.charCodeAt(at)
    if (code === 0x65 || code === 0x45) {
      const sign = text.charCodeAt(at + 1)
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1)
    }
    this.#at = at
  }

  /** At least one digit. */
  #digits(from: number): number {
    let at = from
    while (isDigit(this.#text.charCodeAt(at))) at++
    if (at === from) {
      this.#at = at
      this.#fail('has a number that is not one')
    }
    return at
  }

  #literal(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('has no value here')
    this.#at += word.length
  }

  #space(): void {
    const text = this.#text
    let at = this.#at
    let code = text.charCodeAt(at)
    if (code > 0x20) return
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      code = text.charCodeAt(++at)
    }
    if (at === this.#at) return
    this.#out += text.slice(this.#from, this.#at)
    this.#from = at
    this.#at = at
  }

  #fail(problem: string): never {
    const before = this.#text.slice(0, this.#at)
    const line = before.split('\n').length
    const column = before.length - before.lastIndexOf('\n')
    throw new HavenError('JSON_INVALID', `The JSON ${problem} (line ${line}, column ${column}).`)
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66)
}
