import { describe, expect, test } from 'vitest'
import {
  answerTheChallenge,
  ChannelCaller,
  ChannelGate,
  handshakeBytesMax,
} from '../../src/bridge/inner-channel.ts'
import type { Acceptance, Admission, ServerKeys } from '../../src/bridge/inner-channel.ts'
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { seededRandom } from '../crypto/seeded-random.ts'

const random = seededRandom('inner channel')
const device = DeviceKeys.generate(random)
const serverKeys = DeviceKeys.generate(random)
const server: ServerKeys = {
  device: serverKeys.device,
  agreementKey: serverKeys.agreement.publicKey,
}
const secret = random.bytes(32)
const mesh = bytesToHex(random.bytes(16))
const nowMs = Date.UTC(2026, 0, 1)

const gateOf = (own = secret) => new ChannelGate({ keys: serverKeys, secrets: () => [own], random })
const callerOf = (keys = device, to = server, purpose: 'sync' | 'register' = 'sync') =>
  new ChannelCaller({ server: to, keys, mesh, purpose }, random)

/** A whole handshake, each message of which another process of the server takes. */
function connected(purpose: 'sync' | 'register' = 'sync') {
  const caller = callerOf(device, server, purpose)
  const challenge = gateOf().challenge(nowMs)
  const proof = caller.answer(challenge)
  const admission = gateOf().admit(proof, nowMs)!
  const reply = admission.reply('')
  return { challenge, proof, reply, admission, accepted: caller.accepted(reply)! }
}

function speak({ admission, accepted }: { admission: Admission; accepted: Acceptance }): void {
  const ends = [
    [accepted.connection, admission.connection],
    [admission.connection, accepted.connection],
  ] as const
  for (const text of ['one', 'two', ''])
    for (const [from, to] of ends)
      expect(to.receiving.open(from.sending.seal(utf8ToBytes(text)))).toEqual(utf8ToBytes(text))
}

describe('a handshake', () => {
  test('proves the device to any process of the server, and the server to the device', () => {
    const connection = connected()
    expect(connection.admission.claim).toEqual({ device: device.device, mesh, purpose: 'sync' })
    expect(connection.accepted.code).toBe('')
    expect(connection.accepted.connection.binding).toEqual(connection.admission.connection.binding)
    speak(connection)
  })

  test('shows neither the device, nor its certificate, nor the mesh to who reads along', () => {
    const { challenge, proof, reply } = connected()
    const said = [challenge, proof, reply].map(bytesToHex).join()
    for (const hidden of [device.device, mesh, bytesToHex(device.agreement.publicKey)])
      expect(said).not.toContain(hidden)
  })

  test('has other keys each time, also for the same ticket', () => {
    const { accepted } = connected()
    const bindings = new Set([bytesToHex(accepted.connection.binding)])
    for (let i = 0; i < 3; i++) {
      const caller = callerOf()
      const admission = gateOf().admit(caller.resume(accepted.ticket!), nowMs)!
      bindings.add(bytesToHex(admission.connection.binding))
    }
    expect(bindings.size).toBe(4)
  })

  test('says why a device may not, and only the device can read it', () => {
    const caller = callerOf()
    const admission = gateOf().admit(caller.answer(gateOf().challenge(nowMs)), nowMs)!
    const reply = admission.reply('SERVER_UNKNOWN_MESH')
    expect(caller.accepted(reply)).toMatchObject({ code: 'SERVER_UNKNOWN_MESH', ticket: undefined })
    expect(Buffer.from(reply).toString('latin1')).not.toContain('SERVER_UNKNOWN_MESH')
  })
})

describe('the server refuses', () => {
  test('an answer after the time of its challenge', () => {
    const proof = callerOf().answer(gateOf().challenge(nowMs))
    expect(gateOf().admit(proof, nowMs + 59_999)).toBeDefined()
    expect(() => gateOf().admit(proof, nowMs + 60_000)).toThrow(
      expect.objectContaining({ code: 'TIMED_OUT' }),
    )
  })

  test('an answer to a challenge of another secret', () => {
    const proof = callerOf().answer(gateOf(random.bytes(32)).challenge(nowMs))
    expect(() => gateOf().admit(proof, nowMs)).toThrow(
      expect.objectContaining({ code: 'MALFORMED' }),
    )
  })

  test('an answer meant for another server that has the same secret', () => {
    const other = { ...server, agreementKey: DeviceKeys.generate(random).agreement.publicKey }
    const proof = callerOf(device, other).answer(gateOf().challenge(nowMs))
    expect(() => gateOf().admit(proof, nowMs)).toThrow(
      expect.objectContaining({ code: 'MALFORMED' }),
    )
  })

  test('who names a device whose key it does not have', () => {
    const thief = DeviceKeys.generate(random)
    const posing = Object.assign(Object.create(DeviceKeys.prototype) as DeviceKeys, {
      device: device.device,
      signing: thief.signing,
      agreement: thief.agreement,
    })
    const proof = callerOf(posing).answer(gateOf().challenge(nowMs))
    expect(() => gateOf().admit(proof, nowMs)).toThrow(
      expect.objectContaining({ code: 'BAD_SIGNATURE' }),
    )
  })

  test('any message with one bit changed, and anything else, without another error', () => {
    const proof = callerOf().answer(gateOf().challenge(nowMs))
    for (let bit = 0; bit < proof.length * 8; bit++) {
      const changed = proof.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(() => gateOf().admit(changed, nowMs), `bit ${bit}`).toThrow(
        expect.objectContaining({ code: 'MALFORMED' }),
      )
    }
    for (const bytes of [0, 1, 16, 17, 18, 80, handshakeBytesMax + 1, 100_000])
      expect(() => gateOf().admit(new Uint8Array(bytes).fill(1), nowMs)).toThrow(
        expect.objectContaining({ code: 'MALFORMED' }),
      )
  })
})

describe('a recorded message', () => {
  test('repeated to the server opens a connection that whoever repeats it can not use', () => {
    const { proof, accepted } = connected()
    const recorded = accepted.connection.sending.seal(utf8ToBytes('all my commits'))
    const again = gateOf().admit(proof, nowMs)!
    expect(again.connection.receiving.open(recorded)).toBeUndefined()
    // Not even what the server says twice is the same, so that nothing can be learned by comparing.
    expect(again.reply('')).not.toEqual(gateOf().admit(proof, nowMs)!.reply(''))
  })

  test('with a token is worth nothing without the key that belongs to it', () => {
    const { accepted } = connected()
    const caller = callerOf()
    const resume = caller.resume(accepted.ticket!)
    const first = gateOf().admit(resume, nowMs)!
    const mine = caller.accepted(first.reply(''))!
    const recorded = mine.connection.sending.seal(utf8ToBytes('all my commits'))
    const repeated = gateOf().admit(resume, nowMs)!
    expect(repeated.connection.receiving.open(recorded)).toBeUndefined()
    const thief = callerOf(DeviceKeys.generate(random))
    thief.resume({ ...accepted.ticket!, master: random.bytes(32) })
    expect(() => thief.accepted(repeated.reply(''))).toThrow(
      expect.objectContaining({ code: 'SERVER_NOT_FOUND' }),
    )
  })

  test('in a running connection is not taken twice, nor out of its turn, nor back to its sender', () => {
    const { admission, accepted } = connected()
    const [first, second] = ['1', '2'].map((text) =>
      accepted.connection.sending.seal(utf8ToBytes(text)),
    )
    expect(admission.connection.receiving.open(second!)).toBeUndefined()
    expect(admission.connection.receiving.open(first!)).toEqual(utf8ToBytes('1'))
    expect(admission.connection.receiving.open(first!)).toBeUndefined()
    expect(accepted.connection.receiving.open(second!)).toBeUndefined()
    expect(admission.connection.receiving.open(second!)).toEqual(utf8ToBytes('2'))
  })
})

describe('a ticket', () => {
  test('spares the challenge for a quarter of an hour', () => {
    const { accepted } = connected()
    const resume = (atMs: number, gate = gateOf()) => {
      const caller = callerOf()
      const admission = gate.admit(caller.resume(accepted.ticket!), atMs)
      return { caller, admission }
    }
    const inTime = resume(nowMs + 15 * 60_000 - 1)
    expect(inTime.admission?.claim).toEqual({ device: device.device, mesh, purpose: 'sync' })
    const again = inTime.caller.accepted(inTime.admission!.reply(''))!
    expect(again.ticket?.expiresAtMs).toBe(accepted.ticket!.expiresAtMs)
    speak({ admission: inTime.admission!, accepted: again })
    expect(resume(nowMs + 15 * 60_000).admission).toBeUndefined()
    expect(resume(nowMs, gateOf(random.bytes(32))).admission).toBeUndefined()
  })

  test('that is not taken any more is answered so that the device answers the challenge', () => {
    const { accepted } = connected()
    const caller = callerOf()
    const challenge = gateOf().challenge(nowMs)
    caller.resume(accepted.ticket!)
    expect(caller.accepted(answerTheChallenge)).toBeUndefined()
    const admission = gateOf().admit(caller.answer(challenge), nowMs)!
    speak({ admission, accepted: caller.accepted(admission.reply(''))! })
  })

  test('is not given to who only registers, or is turned away', () => {
    expect(connected('register').accepted.ticket).toBeUndefined()
  })
})

describe('a device takes nobody for the server', () => {
  test('who has its secret and not its agreement key', () => {
    const posing = new ChannelGate({
      keys: DeviceKeys.generate(random),
      secrets: () => [secret],
      random,
    })
    const caller = callerOf()
    const proof = caller.answer(posing.challenge(nowMs))
    expect(() => posing.admit(proof, nowMs)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    const other = callerOf(device, {
      device: server.device,
      agreementKey: DeviceKeys.generate(random).agreement.publicKey,
    })
    const theirs = gateOf().admit(callerOf().answer(gateOf().challenge(nowMs)), nowMs)!
    other.answer(gateOf().challenge(nowMs))
    expect(() => other.accepted(theirs.reply(''))).toThrow(
      expect.objectContaining({ code: 'SERVER_NOT_FOUND' }),
    )
  })

  test('who sends something else: a web page, nothing, a changed answer', () => {
    const page = utf8ToBytes('<html>Please sign in'.repeat(10))
    expect(() => callerOf().answer(page)).toThrow(
      expect.objectContaining({ code: 'SERVER_NOT_FOUND' }),
    )
    for (const answer of [page, new Uint8Array(0), Uint8Array.of(1), new Uint8Array(400).fill(1)]) {
      const caller = callerOf()
      caller.answer(gateOf().challenge(nowMs))
      expect(() => caller.accepted(answer)).toThrow(
        expect.objectContaining({ code: 'SERVER_NOT_FOUND' }),
      )
    }
  })

  test('of another version', () => {
    const challenge = gateOf().challenge(nowMs)
    challenge[0] = 2
    expect(() => callerOf().answer(challenge)).toThrow(
      expect.objectContaining({ code: 'VERSION_MISMATCH' }),
    )
  })

  test('of a key of small order', () => {
    const challenge = gateOf().challenge(nowMs)
    challenge.fill(0, 1, 33)
    expect(() => callerOf().answer(challenge)).toThrow(
      expect.objectContaining({ code: 'SERVER_NOT_FOUND' }),
    )
  })
})
