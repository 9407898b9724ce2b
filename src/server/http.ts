/** The plain side of a server: whether it lives, whether it is ready, its numbers. Records never pass here. */
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { HavenError, isHavenError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import { exchangePath } from '../bridge/server-url.ts'
import { limits } from '../core/limits.ts'
import { metricsContentType, metricsText } from '../observe/metrics.ts'
import type { Metric } from '../observe/metrics.ts'
import { AsksTooMuch } from './exchange-listener.ts'
import { bytesType, json, objectOf } from './http-route.ts'
import type { HttpRoute, Schema } from './http-route.ts'
import { openApiOf } from './openapi.ts'
import { limitSilentConnections, promptness } from './silent-connections.ts'

/** Nobody has anything to say to it in a request. */
const bodyBytes = 1_024

export interface Tls {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

/** What devices ask, and who reads it. */
export interface DeviceRoutes {
  readonly routes: readonly HttpRoute[]
  /** @throws HavenError for what is not to be read */
  read(request: FastifyRequest): Promise<Buffer>
  /** A request of who may be a device has begun. @throws HavenError when it is not to be heard */
  arrives(request: FastifyRequest, reply: FastifyReply): void
}

export interface Http {
  readonly server: Server
  /** @returns the port. @throws HavenError `LISTEN_FAILED` */
  listen(host: string, port: number): Promise<number>
  close(): Promise<void>
}

/** What devices reach. */
export function publicHttp(options: {
  readonly tls?: Tls | undefined
  /** How many meshes can't be served just now. */
  readonly failing: () => Promise<number>
  readonly devices: DeviceRoutes
}): Http {
  const app = newApp(options.tls)
  app.addHook('onRequest', async ({ raw, routeOptions }, reply) => {
    if (routeOptions.url === exchangePath) return
    const late = setTimeout(() => {
      if (!raw.complete) raw.destroy()
    }, limits.helloMs)
    reply.raw.once('close', () => clearTimeout(late))
  })
  const routes = publicRoutes(options)
  for (const route of routes) serve(app, route, options.devices)
  const description = openApiOf(routes)
  app.get('/openapi.json', async (_request, reply) => {
    await reply.send(description)
  })
  // A large question over a slow link takes its time; whatever else is late is ended before.
  app.server.requestTimeout = limits.exchangeMs + limits.helloMs
  return httpOf(app)
}

/** All that devices and whoever watches over a server may ask for in plain requests. */
export function publicRoutes(options: {
  readonly failing: () => Promise<number>
  readonly devices: Pick<DeviceRoutes, 'routes'>
}): HttpRoute[] {
  return [
    {
      method: 'GET',
      url: '/healthz',
      summary: 'Whether the process lives',
      description: 'For whoever starts it anew when it hangs.',
      response: { 200: json('It does.', objectOf({ status: { const: 'ok' } })) },
      handler: async (_request, reply) => {
        await reply.send({ status: 'ok' })
      },
    },
    {
      method: 'GET',
      url: '/readyz',
      summary: 'Whether it can serve all of its meshes',
      description: 'For whoever sends devices to it.',
      response: {
        200: json('It can.', readiness('ok')),
        503: json(
          'Some can not be served now: their disk is full, or their database away.',
          readiness('failing'),
        ),
      },
      handler: async (_request, reply) => {
        const failing = await options.failing()
        const status = failing === 0 ? 'ok' : 'failing'
        await reply.code(failing === 0 ? 200 : 503).send({ status, failing })
      },
    },
    ...options.devices.routes,
  ]
}

function readiness(status: string) {
  return objectOf({ status: { const: status }, failing: { type: 'integer', minimum: 0 } })
}

/** Bytes are read by who knows how many, and from whom; everything else comes without a body. */
function serve(app: FastifyInstance, route: HttpRoute, devices: DeviceRoutes): void {
  const { method, url, body, response, handler } = route
  const schema = { response, ...(body !== undefined && { body }) }
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    if (body !== undefined) {
      scope.addContentTypeParser(bytesType, (request: FastifyRequest) => devices.read(request))
      scope.setValidatorCompiler<Schema>(({ schema: wanted }) => lengthValidator(wanted))
    }
    const onRequest = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      if (body !== undefined) devices.arrives(request, reply)
    }
    scope.route({ method, url, schema, onRequest, handler })
  })
}

/** Of bytes: see `http-route.ts`. */
function lengthValidator({ minLength, maxLength }: Schema) {
  return (value: unknown): boolean => {
    const length = value instanceof Uint8Array ? value.length : 0
    return length >= Number(minLength) && length <= Number(maxLength)
  }
}

/** Apart from the other, since it says which meshes there are, and how much they do. */
export function metricsHttp(metrics: () => readonly Metric[]): Http {
  const app = newApp(undefined)
  app.get('/metrics', async (_request, reply) => {
    await reply.header('content-type', metricsContentType).send(metricsText(metrics()))
  })
  return httpOf(app)
}

function newApp(tls: Tls | undefined): FastifyInstance {
  const app = fastify({
    bodyLimit: bodyBytes,
    forceCloseConnections: true,
    serverFactory: (handler: RequestListener) => {
      const server = newServer(handler, tls)
      limitSilentConnections(server)
      return server
    },
  })
  app.setErrorHandler(async (error, _request, reply) => {
    const { status, code, message } = refusalOf(error)
    // What is left of a request that is not wanted is not waited for.
    await reply.code(status).header('connection', 'close').send({ code, message })
  })
  app.setNotFoundHandler(async (_request, reply) => {
    await reply.code(404).send({ code: 'NOT_FOUND', message: 'There is nothing here.' })
  })
  return app
}

const statuses: Partial<Record<ErrorCode, number>> = {
  TOKEN_ENDED: 401,
  TIMED_OUT: 408,
  ASKED_BEFORE: 409,
  TOO_LARGE: 413,
  LIMIT_EXCEEDED: 503,
  INTERNAL: 500,
}

function refusalOf(error: unknown): { status: number; code: ErrorCode; message: string } {
  if (isHavenError(error)) {
    const { code, message } = error
    const status = error instanceof AsksTooMuch ? error.statusCode : (statuses[code] ?? 400)
    return { status, code, message }
  }
  // The framework's own.
  const status = (error as { statusCode?: number }).statusCode ?? 500
  if (status >= 500) return { status, code: 'INTERNAL', message: 'Something went wrong.' }
  return { status, code: 'MALFORMED', message: 'That is not what is expected here.' }
}

function httpOf(app: FastifyInstance): Http {
  return {
    server: app.server,
    async listen(host, port) {
      try {
        await app.listen({ host, port })
      } catch (cause) {
        throw new HavenError(
          'LISTEN_FAILED',
          `The server can't listen at ${host}:${port}. Another program may use the port, or this computer does not have the address.`,
          { cause },
        )
      }
      return (app.server.address() as AddressInfo).port
    },
    close: () => app.close(),
  }
}

/** @throws HavenError `USAGE` for a certificate and a key that don't go together */
function newServer(handler: RequestListener, tls: Tls | undefined): Server {
  if (tls === undefined) return createServer(promptness, handler)
  try {
    return createTlsServer({ ...tls, ...promptness }, handler)
  } catch (cause) {
    throw new HavenError(
      'USAGE',
      'The files of --tls-cert and --tls-key are not a certificate and its key in PEM.',
      { cause },
    )
  }
}
