/** A PostgreSQL server for one test file: its own cluster in a directory of its own, on a port of this machine, with fsync on. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { appendFile, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { until } from './until.ts'

const run = promisify(execFile)

/** Where initdb and postgres are; undefined: nowhere. */
const binaries = findBinaries()

/** Why tests that need it are skipped; undefined: they are not. */
export const noPostgres =
  binaries === undefined ? 'initdb and postgres are not installed (Debian: postgresql)' : undefined

if (noPostgres !== undefined)
  process.stderr.write(`tests on PostgreSQL are skipped: ${noPostgres}\n`)

/** Of all users this one needs its password; tests make it. */
export const guardedUser = 'guarded'

/** PostgreSQL refuses to run as root. */
export const owner = process.getuid?.() === 0 ? idsOf('postgres', 'nobody') : undefined

export class PostgresServer {
  readonly directory: string
  readonly port: number
  #process: ChildProcess | undefined
  #databases = 0

  private constructor(directory: string, port: number) {
    this.directory = directory
    this.port = port
  }

  /** To be stopped by who started it. */
  static async start(): Promise<PostgresServer> {
    const directory = await mkdtemp(join(tmpdir(), 'haven-postgres-'))
    if (owner !== undefined) await chown(directory, owner.uid, owner.gid)
    const server = new PostgresServer(directory, await freePort())
    const options = ['--username=haven', '--auth=trust', '--encoding=UTF8', '--locale=C']
    await run(join(binaries!, 'initdb'), ['-D', server.#data, ...options], {
      ...owner,
      cwd: directory,
    })
    await appendFile(
      join(server.#data, 'postgresql.conf'),
      [
        '',
        `port = ${server.port}`,
        "listen_addresses = '127.0.0.1'",
        "unix_socket_directories = ''",
        'shared_buffers = 32MB',
        'max_connections = 60',
        'log_min_messages = fatal',
        '',
      ].join('\n'),
    )
    const access = join(server.#data, 'pg_hba.conf')
    const guarded = `host all ${guardedUser} 127.0.0.1/32 scram-sha-256\n`
    await writeFile(access, guarded + (await readFile(access, 'utf8')))
    await server.launch()
    return server
  }

  /** Of an empty database. */
  async freshDatabase(): Promise<string> {
    const name = `test_${++this.#databases}`
    await this.sql(`CREATE DATABASE ${name}`)
    return this.urlOf(name)
  }

  urlOf(database: string): string {
    return `postgres://haven@127.0.0.1:${this.port}/${database}`
  }

  /** Runs a statement as somebody else than the program does: on a connection of its own. */
  async sql(text: string, url: string = this.urlOf('postgres')): Promise<unknown[]> {
    const client = new Client({ connectionString: url })
    await client.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(text)
      return rows
    } finally {
      await client.end()
    }
  }

  /** Stops at once, as if the machine had gone; what was committed is on the disk. */
  async crash(): Promise<void> {
    await this.#end()
  }

  async launch(): Promise<void> {
    this.#process = spawn(join(binaries!, 'postgres'), ['-D', this.#data], {
      ...owner,
      cwd: this.directory,
      stdio: 'ignore',
    })
    process.once('exit', this.#kill)
    await until('PostgreSQL answers', () => this.#answers())
  }

  async stop(): Promise<void> {
    await this.#end()
    await rm(this.directory, { recursive: true, force: true })
  }

  get #data(): string {
    return join(this.directory, 'data')
  }

  async #answers(): Promise<boolean> {
    try {
      await this.sql('SELECT 1')
      return true
    } catch {
      return false
    }
  }

  /** It must not outlive the tests, however they end. */
  readonly #kill = (): void => {
    this.#process?.kill('SIGQUIT')
    rmSync(this.directory, { recursive: true, force: true })
  }

  async #end(): Promise<void> {
    const server = this.#process
    this.#process = undefined
    process.off('exit', this.#kill)
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGQUIT')
    await ended
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

function findBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const newestFirst = versions.toSorted((a, b) => Number(b) - Number(a))
  const places = [
    ...newestFirst.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return places.find((place) =>
    ['initdb', 'postgres'].every((name) => existsSync(join(place, name))),
  )
}

/** Of the first of these users that exists. */
function idsOf(...users: string[]): { uid: number; gid: number } {
  for (const user of users) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: 'pipe' }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // The next one.
    }
  }
  throw new Error(`There is none of the users ${users.join(', ')} to run PostgreSQL as.`)
}
