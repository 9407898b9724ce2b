/** A network between a program and PostgreSQL that fails at a chosen statement. */
import { createServer, connect } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/**
 * What happens to a statement:
 * - `refuse`: the database answers that the transaction must be tried again (40001), and does not carry it out
 * - `cut`: the connection breaks before the statement arrives
 * - `lose`: the statement is carried out, and the connection breaks before the answer arrives
 */
export type Fault = 'refuse' | 'cut' | 'lose'

/** Asked for each statement, counted from 1; what it waits for, the statement waits for. */
export type Decide = (count: number) => Fault | undefined | Promise<Fault | undefined>

const startupHeadBytes = 4
const headBytes = 5
/** Ends of statements: a simple query, the end of an extended one, the end of all. */
const simpleQuery = 0x51
const sync = 0x53
const terminate = 0x58
const readyForQuery = 0x5a

export class PostgresProxy {
  /** Statements that have come by. */
  count = 0
  decide: Decide = () => undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param port - of the database, on this machine */
  static async start(port: number): Promise<PostgresProxy> {
    const server = createServer()
    const proxy = new PostgresProxy(server)
    server.on('connection', (client) => proxy.#connected(client, connect(port, '127.0.0.1')))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  /** The same database, through this. */
  urlOf(url: string): string {
    const through = new URL(url)
    through.port = String((this.#server.address() as AddressInfo).port)
    return through.href
  }

  /** Breaks every connection. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cutAll()
    await closed
  }

  #connected(client: Socket, database: Socket): void {
    const cut = (): void => {
      client.destroy()
      database.destroy()
    }
    for (const socket of [client, database]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', cut)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        cut()
      })
    }
    let isLosing = false
    database.on('data', (chunk: Buffer) => {
      if (!isLosing) client.write(chunk)
      else if (endsReady(chunk)) cut()
    })
    void (async () => {
      for await (const statement of statementsOf(client)) {
        const isCounted = statement[0] === simpleQuery || statement.at(-headBytes) === sync
        const fault = isCounted ? await this.decide(++this.count) : undefined
        if (client.destroyed) return
        if (fault === 'cut') cut()
        else if (fault === 'refuse') client.write(refusal)
        else {
          isLosing = fault === 'lose'
          database.write(statement)
        }
      }
    })().catch(cut)
  }
}

/** The bytes of whole statements, the start of the connection first. */
async function* statementsOf(client: Socket): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0)
  let isStarted = false
  let at = 0
  for await (const chunk of client as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    if (!isStarted) {
      if (rest.length < startupHeadBytes || rest.length < rest.readInt32BE(0)) continue
      const length = rest.readInt32BE(0)
      yield rest.subarray(0, length)
      rest = rest.subarray(length)
      isStarted = true
    }
    while (rest.length >= at + headBytes && rest.length > at + rest.readInt32BE(at + 1)) {
      const type = rest[at]
      at += 1 + rest.readInt32BE(at + 1)
      if (type !== simpleQuery && type !== sync && type !== terminate) continue
      yield rest.subarray(0, at)
      rest = rest.subarray(at)
      at = 0
    }
  }
}

/** `Z · u32 5 · u8 state` is the end of every answer. */
function endsReady(chunk: Buffer): boolean {
  return chunk.length >= 6 && chunk[chunk.length - 6] === readyForQuery
}

const refusal = ((): Buffer => {
  const fields = 'SERROR\0VERROR\0C40001\0Mcould not serialize access\0\0'
  const head = Buffer.alloc(headBytes)
  head.write('E')
  head.writeInt32BE(4 + fields.length, 1)
  return Buffer.concat([head, Buffer.from(fields), Buffer.from([readyForQuery, 0, 0, 0, 5, 0x45])])
})()
