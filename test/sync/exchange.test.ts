import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { AskedServer, Asking } from './support/asking.ts'
import { Chance } from './support/chance.ts'
import { firstCollection, secondCollection, stubMember } from './support/stub-authority.ts'

const many = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes)
const kib = 1024

async function worldOf(devices: number) {
  const world = new AskedServer({ devices })
  const askings = world.devices.map((device) => new Asking(world, device))
  return { world, askings, devices: world.devices, server: world.server }
}

describe('a device that asks', () => {
  test('brings what it has with the first question that knows the server, and hears with the answer that it is durable', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    const [asking] = askings
    const [device] = devices
    // Nothing is known of the server yet: the first exchange tells.
    expect(await asking!.exchange()).toBe(false)
    await world.write(device!, [100, 200], secondCollection)
    expect(asking!.news).toBe(1)
    const answer = await asking!.answerTo(await asking!.question())
    expect([...server.commits]).toEqual([...device!.commits])
    expect(await asking!.heard(answer)).toBe(false)
    const session = device!.driver.engine.sessionWith(server.id)
    expect(session).toMatchObject({ ahead: 0, behind: 0, complete: true })
    // The receipt came with it.
    const entry = device!.driver.engine.book.entries.get(server.id)
    expect(entry?.announcement?.clockDigest).toBe(device!.replica.digest)
    expect(entry?.known?.digest).toBe(device!.replica.digest)
  })

  test('gets what others have brought, page by page, and acknowledges nothing before it is durable', async () => {
    const { world, askings, devices, server } = await worldOf(2)
    await world.write(devices[0]!, many(40, 20_000), secondCollection)
    await askings[0]!.exchangeAll()
    expect(server.commits.size).toBe(40)
    const budget = { sendBytes: 64 * kib, takeBytes: 128 * kib }
    const exchanges = await askings[1]!.exchangeAll(budget)
    expect(devices[1]!.commits).toEqual(server.commits)
    expect(exchanges).toBeGreaterThan(4)
    expect(exchanges).toBeLessThan(12)
    expect(devices[1]!.errors).toEqual([])
  })

  test('says little when there is nothing to say, and is told as little', async () => {
    const { world, askings, devices } = await worldOf(2)
    for (const device of devices) {
      for (const collection of [firstCollection, secondCollection])
        await world.write(device, many(20, 100), collection)
    }
    for (let round = 0; round < 3; round++) for (const asking of askings) await asking.exchangeAll()
    for (const asking of askings) {
      expect(await asking.exchange()).toBe(false)
      expect(asking.bytes.question).toBeLessThan(150)
      expect(asking.bytes.answer).toBeLessThan(100)
    }
  })

  test('is told what has changed since it asked last, not the whole clock', async () => {
    const { world, askings, devices } = await worldOf(2)
    for (let count = 0; count < 3; count++) {
      for (const device of devices) await world.write(device, [10], secondCollection)
      for (const asking of askings) await asking.exchangeAll()
    }
    await askings[1]!.exchangeAll()
    await world.write(devices[0]!, [10], secondCollection)
    await askings[0]!.exchangeAll()
    await askings[1]!.exchange()
    const told = askings[1]!.said.answer
    expect(told.some(({ tag }) => tag === 'clock')).toBe(false)
    const have = told.find((section) => section.tag === 'have')
    expect(have?.entries.map(({ seq }) => seq)).toEqual([4])
  })

  test('is told the whole clock by a process that does not know where it was', async () => {
    const { world, askings, devices, server } = await worldOf(2)
    for (const device of devices) await world.write(device, [10], secondCollection)
    for (const asking of askings) await asking.exchangeAll()
    world.restart()
    await world.write(devices[0]!, [10], secondCollection)
    await askings[0]!.exchangeAll()
    await askings[1]!.exchange()
    expect(askings[1]!.said.answer.some(({ tag }) => tag === 'clock')).toBe(true)
    await askings[1]!.exchangeAll()
    expect(devices[1]!.commits).toEqual(server.commits)
  })

  test('notices when what it was told does not add up to the server’s clock, and gets it whole', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    const { engine } = devices[0]!.driver
    await world.write(devices[0]!, [10], secondCollection)
    await askings[0]!.exchangeAll()
    const { known } = engine.book.entries.get(server.id)!
    await world.write(devices[0]!, [10], firstCollection)
    await askings[0]!.exchangeAll()
    await askings[0]!.lost()
    // What it knew of the server is older than the position that it was given.
    engine.book.entries.get(server.id)!.known = known
    await askings[0]!.exchange()
    expect(engine.sessionWith(server.id)?.complete).toBe(false)
    await askings[0]!.exchangeAll()
    expect(engine.sessionWith(server.id)?.complete).toBe(true)
    expect(askings[0]!.said.answer.some(({ tag }) => tag === 'clock')).toBe(true)
  })

  test('goes through with another process at each question', async () => {
    const { world, askings, devices, server } = await worldOf(2)
    await world.write(devices[0]!, many(30, 20_000), secondCollection)
    await world.write(devices[1]!, many(30, 20_000), firstCollection)
    const budget = { sendBytes: 100 * kib, takeBytes: 100 * kib }
    for (let round = 0; round < 3; round++) {
      for (const asking of askings) await asking.exchangeAll(budget, () => world.restart())
    }
    for (const device of devices) expect(device.commits).toEqual(server.commits)
    expect(server.commits.size).toBe(60)
  })

  test('hears at once of writes while a question is on its way, and sends them with the next, once', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await askings[0]!.exchangeAll()
    await world.write(devices[0]!, [5_000], secondCollection)
    const question = await askings[0]!.question()
    await world.write(devices[0]!, [6_000], secondCollection)
    expect(askings[0]!.news).toBe(2)
    const answer = await askings[0]!.answerTo(question)
    expect(server.commits.size).toBe(1)
    expect(await askings[0]!.heard(answer)).toBe(true)
    await askings[0]!.exchange()
    expect(server.commits.size).toBe(2)
    expect(askings[0]!.bytes.question).toBeLessThan(7_000)
  })
})

test('what the server has heard of others is heard by who asks, and the other way round', async () => {
  const { world, askings, devices } = await worldOf(3)
  for (const device of devices) await world.write(device, [10], secondCollection)
  for (let round = 0; round < 3; round++) for (const asking of askings) await asking.exchangeAll()
  await world.time.run(2_000, () => {})
  for (let round = 0; round < 2; round++) for (const asking of askings) await asking.exchangeAll()
  for (const { driver, replica } of devices) {
    for (const { id } of [...devices, world.server]) {
      const entry = driver.engine.book.entries.get(id)
      expect(entry?.announcement?.clockDigest).toBe(replica.digest)
    }
  }
})

describe('what goes wrong on the way', () => {
  test('a lost question: nothing has happened, and the next one brings it', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await askings[0]!.exchangeAll()
    await world.write(devices[0]!, [100], secondCollection)
    await askings[0]!.question()
    await askings[0]!.lost()
    expect(devices[0]!.driver.engine.sessionWith(server.id)).toBeUndefined()
    await askings[0]!.exchangeAll()
    expect(server.commits).toEqual(devices[0]!.commits)
  })

  test('a lost answer: what was stored stays, and is not stored again', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await askings[0]!.exchangeAll()
    await world.write(devices[0]!, many(3, 100), secondCollection)
    await askings[0]!.answerTo(await askings[0]!.question())
    expect(server.commits).toEqual(devices[0]!.commits)
    await askings[0]!.lost()
    await askings[0]!.exchangeAll()
    expect(server.store.log).toHaveLength(3)
    const session = devices[0]!.driver.engine.sessionWith(server.id)
    expect(session?.complete).toBe(true)
  })

  test('a question that arrives again, and one that arrives after a later one, change nothing', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await askings[0]!.exchangeAll()
    await world.write(devices[0]!, [100], secondCollection)
    const early = await askings[0]!.question()
    await askings[0]!.heard(await askings[0]!.answerTo(early))
    await world.write(devices[0]!, [100], secondCollection)
    await askings[0]!.exchangeAll()
    for (let again = 0; again < 2; again++) {
      const answer = await askings[0]!.answerTo(early)
      expect(answer.code).toBe('')
    }
    expect(server.store.log).toHaveLength(2)
    await askings[0]!.exchangeAll()
    expect(devices[0]!.driver.engine.sessionWith(server.id)?.complete).toBe(true)
  })

  test('a disk that is full is said in the answer, and nothing is acknowledged', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await askings[0]!.exchangeAll()
    await world.write(devices[0]!, [100], secondCollection)
    server.store.failAfter(0)
    const answer = await askings[0]!.answerTo(await askings[0]!.question())
    expect(answer).toEqual({ code: 'DISK_FULL', frames: [] })
    expect(server.commits.size).toBe(0)
  })

  test('a server that lost data says so with its next answer, and gets it back', async () => {
    const { world, askings, devices, server } = await worldOf(1)
    await world.write(devices[0]!, [100], secondCollection)
    await askings[0]!.exchangeAll()
    const backup = server.backup()
    await world.write(devices[0]!, [100], secondCollection)
    await askings[0]!.exchangeAll()
    server.start(backup.disk, backup.feeds)
    expect(server.commits.size).toBe(1)
    await askings[0]!.exchangeAll()
    expect(server.commits).toEqual(devices[0]!.commits)
  })

  test.each([1, 2, 3, 4, 5, 6])(
    'all of it by chance, with several devices and processes (%i)',
    async (seed) => {
      const { world, askings, devices, server } = await worldOf(3)
      const chance = new Chance(seed)
      const budget = { sendBytes: 64 * kib, takeBytes: 64 * kib }
      const late: { asking: Asking; question: Uint8Array[] }[] = []
      for (let step = 0; step < 60; step++) {
        const asking = chance.pick(askings)
        const device = devices[askings.indexOf(asking)]!
        if (chance.chance(0.5))
          await world.write(
            device,
            many(chance.int(1, 5), chance.int(10, 20_000)),
            secondCollection,
          )
        if (chance.chance(0.2)) world.restart()
        const question = await asking.question(budget)
        if (chance.chance(0.2)) late.push({ asking, question })
        if (chance.chance(0.2)) await asking.lost()
        else {
          const answer = await asking.answerTo(question)
          if (chance.chance(0.2)) await asking.lost()
          else await asking.heard(answer)
        }
        const old = late.length > 0 && chance.chance(0.3) ? chance.pick(late) : undefined
        if (old !== undefined) await old.asking.answerTo(old.question)
      }
      for (let round = 0; round < 2; round++)
        for (const asking of askings) await asking.exchangeAll(budget)
      for (const device of devices) {
        expect(device.commits).toEqual(server.commits)
        expect(device.driver.engine.sessionWith(server.id)).toMatchObject({ behind: 0, ahead: 0 })
        expect(device.errors).toEqual([])
      }
      expect(server.errors).toEqual([])
      expect(new Set(server.store.log).size).toBe(server.store.log.length)
    },
  )
})

describe('whom the server does not know', () => {
  test('shows its certificate with its first question', async () => {
    const world = new AskedServer({ devices: 1, acquainted: false })
    const asking = new Asking(world, world.devices[0]!)
    await world.write(world.devices[0]!, [100], secondCollection)
    await asking.exchangeAll()
    expect(world.server.commits.size).toBe(1)
    expect(world.server.authority.isMember(world.devices[0]!.id)).toBe(true)
    await asking.exchange()
    expect(asking.said.question.some(({ tag }) => tag === 'chain')).toBe(false)
    // A process that has not seen it asks for it.
    world.server.authority.known.clear()
    const answer = await asking.answerTo(await asking.question())
    expect(answer.code).toBe('NOT_A_MEMBER')
  })

  test('shows it until all facts are there: another process may answer next', async () => {
    const world = new AskedServer({ devices: 1, acquainted: false })
    const asking = new Asking(world, world.devices[0]!)
    await world.write(world.devices[0]!, many(10, 20_000), secondCollection)
    const between = (): void => {
      if (world.server.commits.size < 10) world.server.authority.known.clear()
    }
    await asking.exchangeAll({ sendBytes: 64 * kib, takeBytes: 64 * kib }, between)
    expect(world.server.commits.size).toBe(10)
  })

  test('can not use the certificate of another', async () => {
    const world = new AskedServer({ devices: 2, acquainted: false })
    const [honest, other] = world.devices.map((device) => new Asking(world, device))
    await other!.question()
    const answer = await other!.answerTo(await honest!.question())
    expect(answer.code).toBe('NOT_A_MEMBER')
    expect(world.server.notifications.some(({ kind }) => kind === 'opened')).toBe(false)
  })

  test('does not send what nobody vouches for again and again', async () => {
    const { world, askings, devices, server } = await worldOf(2)
    const [a, b] = devices
    server.authority.known.delete(b!.id)
    await world.write(b!, many(10, 10_000), secondCollection)
    const [toA] = askings
    // A carries what B wrote.
    a!.store.disk.descriptors.set(...[...b!.store.disk.descriptors][0]!)
    for (const [id, commit] of b!.store.disk.commits) a!.store.disk.commits.set(id, commit)
    for (const [feed, chain] of b!.store.disk.chains) a!.store.disk.chains.set(feed, chain)
    a!.start(a!.store.disk)
    a!.authority.known.set(b!.id, stubMember(b!.index).certificate)
    await toA!.exchangeAll()
    expect(server.commits.size).toBe(0)
    const sizes: number[] = []
    for (let poll = 0; poll < 8; poll++) {
      expect(await toA!.exchange()).toBe(false)
      sizes.push(toA!.bytes.question)
    }
    expect(sizes.filter((size) => size > 10_000)).toHaveLength(2)
    server.authority.known.set(b!.id, stubMember(b!.index).certificate)
    for (let poll = 0; poll < 4; poll++) await toA!.exchange()
    expect(server.commits.size).toBe(10)
  })
})

test('a question and an answer keep to their limit, whatever there is to say', async () => {
  const { world, askings, devices } = await worldOf(2)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: limits.commitCiphertextBytes - 64 }), {
        minLength: 1,
        maxLength: 12,
      }),
      async (sizes) => {
        await world.write(devices[0]!, sizes, secondCollection)
        for (const asking of askings) {
          for (let more = true; more;) {
            more = await asking.exchange()
            expect(asking.bytes.question).toBeLessThan(limits.exchangeBytes)
            expect(asking.bytes.answer).toBeLessThan(limits.exchangeBytes)
          }
        }
      },
    ),
    { numRuns: 5 },
  )
})
