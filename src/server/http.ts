/** The plain side of a server: whether it lives, whether it is ready, its numbers. Records never pass here. */
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { HavenError } from '../core/errors.ts'
import { metricsContentType, metricsText } from '../observe/metrics.ts'
import type { Metric } from '../observe/metrics.ts'
import { limitSilentConnections, promptness } from './silent-connections.ts'

/** Nobody has anything to say to it in a request. */
const bodyBytes = 1_024

export interface Tls {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

export interface Http {
  readonly server: Server
  /** @returns the port. @throws HavenError `LISTEN_FAILED` */
  listen(host: string, port: number): Promise<number>
  close(): Promise<void>
}

/** What devices reach. @param options.failing - how many meshes can't be served just now */
export function publicHttp(options: {
  readonly tls?: Tls | undefined
  readonly failing: () => Promise<number>
}): Http {
  const app = newApp(options.tls)
  // For whoever starts it anew when it hangs.
  app.get('/healthz', () => ({ status: 'ok' }))
  // For whoever sends devices to it.
  app.get('/readyz', async (_request, reply) => {
    const failing = await options.failing()
    const status = failing === 0 ? 'ok' : 'failing'
    await reply.code(failing === 0 ? 200 : 503).send({ status, failing })
  })
  return httpOf(app)
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
  return fastify({
    bodyLimit: bodyBytes,
    forceCloseConnections: true,
    serverFactory: (handler: RequestListener) => {
      const server = newServer(handler, tls)
      limitSilentConnections(server)
      return server
    },
  })
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
