/** The description of a server's plain requests, in OpenAPI 3.1, made from the routes that it serves. */
import type { HttpRoute } from './http-route.ts'

export type OpenApi = Readonly<Record<string, unknown>>

export function openApiOf(routes: readonly HttpRoute[]): OpenApi {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { method, url, summary, description, body, response } of routes) {
    const operation = {
      operationId: `${method.toLowerCase()}${url.replaceAll(/[^a-z0-9]+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase())}`,
      summary,
      ...(description !== undefined && { description }),
      ...(body !== undefined && { requestBody: { required: true, ...body } }),
      responses: response,
    }
    paths[url] = { ...paths[url], [method.toLowerCase()]: operation }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Havenmesh server',
      version: '1',
      summary: 'What a Havenmesh server answers to plain requests.',
      description:
        'Everything that devices and a server say to each other is sealed between the two: the bytes are described in docs/protocol.md. A WebSocket at /v1/sync carries the same messages, where the network lets one through.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
  }
}
