import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { format, resolveConfig } from 'prettier'
import { expect, test } from 'vitest'
import { ChannelGate } from '../../src/bridge/inner-channel.ts'
import { systemRandom as random } from '../../src/device/system.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { ExchangeListener } from '../../src/server/exchange-listener.ts'
import { FloodGuard } from '../../src/server/flood-guard.ts'
import { publicRoutes } from '../../src/server/http.ts'
import { openApiOf } from '../../src/server/openapi.ts'
import { MemoryRequestBook } from '../../src/server/request-book.ts'
import { TestServer } from '../server/support.ts'

/** The routes of a server that nobody asks. */
function description() {
  const nowMs = () => 0
  const gate = new ChannelGate({
    keys: DeviceKeys.generate(random),
    secrets: () => [random.bytes(32)],
    random,
  })
  const devices = new ExchangeListener({
    gate,
    nowMs,
    random,
    guard: new FloodGuard(nowMs),
    book: new MemoryRequestBook(nowMs),
    decide: () => Promise.resolve(''),
    answer: () => Promise.resolve({ code: '', frames: [] }),
    log: () => {},
  })
  return openApiOf(publicRoutes({ failing: () => Promise.resolve(0), devices }))
}

test('docs/schemas/openapi.json is what the server’s routes say', async () => {
  // When this fails after a change of a route: a vitest -u writes it anew.
  const file = join(import.meta.dirname, '../../docs/schemas/openapi.json')
  const style = { ...(await resolveConfig(file)), parser: 'json' }
  const text = await format(JSON.stringify(description()), style)
  await expect(text).toMatchFileSnapshot(file)
})

test('it is valid OpenAPI 3.1, and names every route with what it answers', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate({ ...description() })
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
  expect(validator.version).toBe('3.1')
  const paths = description().paths as Record<string, Record<string, { responses: object }>>
  expect(Object.keys(paths).toSorted()).toEqual([
    '/healthz',
    '/readyz',
    '/v1/exchange',
    '/v1/sync',
    '/v1/token',
  ])
  expect(Object.keys(paths['/v1/exchange']!.post!.responses)).toContain('409')
  const broken = { ...description(), paths: { healthz: {} } }
  expect((await new Validator().validate(broken)).valid).toBe(false)
})

test('a server says the same of itself, and answers as it says', async () => {
  const { server } = await TestServer.start()
  const said = await fetch(`${server.address}/openapi.json`)
  expect(await said.json()).toEqual(JSON.parse(JSON.stringify(description())))
  expect(await (await fetch(`${server.address}/healthz`)).json()).toEqual({ status: 'ok' })
  expect(await (await fetch(`${server.address}/readyz`)).json()).toEqual({
    status: 'ok',
    failing: 0,
  })
})
