/** JSON with the place of each value: what is wrong with a file that a person wrote is named by line and column. */
import { HavenError, isHavenError } from '../../core/errors.ts'
import { compactJson } from '../json-text.ts'

export type JsonNode = JsonObject | JsonArray | JsonString | JsonLiteral

interface Placed {
  /** Index of its first character in the text. */
  readonly at: number
}
export interface JsonObject extends Placed {
  readonly kind: 'object'
  readonly members: ReadonlyMap<string, JsonMember>
}
interface JsonMember {
  /** Of the name. */
  readonly at: number
  readonly value: JsonNode
}
interface JsonArray extends Placed {
  readonly kind: 'array'
  readonly elements: readonly JsonNode[]
}
interface JsonString extends Placed {
  readonly kind: 'string'
  readonly value: string
}
/** A number (its lexeme is kept), `true`, `false` or `null`. */
interface JsonLiteral extends Placed {
  readonly kind: 'number' | 'boolean' | 'null'
  readonly text: string
}

/** @throws HavenError `JSON_INVALID` with line and column */
export function parseJsonTree(text: string): JsonNode {
  // One place knows what JSON is; what follows takes well-formed text apart.
  compactJson(text)
  return new Walker(text).value()
}

/** @throws HavenError `code` instead of `JSON_INVALID`, with the same line and column */
export function parseJsonTreeAs(code: 'SCHEMA_INVALID', text: string): JsonNode {
  try {
    return parseJsonTree(text)
  } catch (error) {
    if (isHavenError(error, 'JSON_INVALID')) {
      throw new HavenError(code, error.message, { cause: error })
    }
    throw error
  }
}

/** Both counted from 1; a column is a UTF-16 unit, as editors count. */
export function lineAndColumn(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at)
  return { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') }
}

class Walker {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): JsonNode {
    this.#space()
    const at = this.#at
    const first = this.#text[at]
    if (first === '{') return this.#object(at)
    if (first === '[') return this.#array(at)
    if (first === '"') return { kind: 'string', at, value: this.#string() }
    const text = /^[^\s,\]}]+/.exec(this.#text.slice(at))![0]
    this.#at += text.length
    const kind = text === 'null' ? 'null' : /^[tf]/.test(text) ? 'boolean' : 'number'
    return { kind, at, text }
  }

  #object(at: number): JsonObject {
    const members = new Map<string, JsonMember>()
    while (this.#next('}')) {
      const nameAt = this.#at
      const name = this.#string()
      this.#space()
      this.#at++
      members.set(name, { at: nameAt, value: this.value() })
    }
    return { kind: 'object', at, members }
  }

  #array(at: number): JsonArray {
    const elements: JsonNode[] = []
    while (this.#next(']')) elements.push(this.value())
    return { kind: 'array', at, elements }
  }

  /** Goes past the opening character or a comma to what follows; false after the closing one. */
  #next(closing: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== closing) {
      this.#at++
      this.#space()
    }
    if (this.#text[this.#at] !== closing) return true
    this.#at++
    return false
  }

  #string(): string {
    const start = this.#at
    let at = start + 1
    while (this.#text[at] !== '"') at += this.#text[at] === '\\' ? 2 : 1
    this.#at = at + 1
    return JSON.parse(this.#text.slice(start, this.#at)) as string
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? '')) this.#at++
  }
}
