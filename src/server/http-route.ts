/** How a server's plain requests are described: once, for whoever validates them and for docs/schemas/openapi.json. */
import type { FastifyReply, FastifyRequest } from 'fastify'

/** JSON Schema. */
export type Schema = Readonly<Record<string, unknown>>

export interface Content {
  readonly description: string
  readonly content: Readonly<Record<string, { readonly schema: Schema }>>
}

export interface HttpRoute {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly summary: string
  readonly description?: string
  readonly body?: Content
  /** By status. */
  readonly response: Readonly<Record<string, Content>>
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
}

export const bytesType = 'application/octet-stream'

/** Bytes, whose number is checked: JSON Schema counts characters. */
function bytesSchema(minLength: number, maxLength: number): Schema {
  return { type: 'string', format: 'binary', minLength, maxLength }
}

export function json(description: string, schema: Schema): Content {
  return { description, content: { 'application/json': { schema } } }
}

export function bytes(description: string, minBytes: number, maxBytes: number): Content {
  const schema = bytesSchema(minBytes, maxBytes)
  return { description, content: { [bytesType]: { schema } } }
}

export function objectOf(properties: Readonly<Record<string, Schema>>): Schema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  }
}

const errorSchema = objectOf({
  code: { type: 'string', description: 'As in docs/errors.md; it never changes its meaning.' },
  message: { type: 'string' },
})

export function refusal(description: string): Content {
  return json(description, errorSchema)
}
