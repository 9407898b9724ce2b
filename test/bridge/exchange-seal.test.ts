import { describe, expect, test } from 'vitest'
import { openQuestionHead, Question, questionHeadBytes } from '../../src/bridge/exchange-seal.ts'
import { ChannelCaller, ChannelGate, tokenMs } from '../../src/bridge/inner-channel.ts'
import type { ChannelTicket, Claim } from '../../src/bridge/inner-channel.ts'
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { systemRandom as random } from '../../src/device/system.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'

const startMs = 1_700_000_000_000
const minuteMs = 60_000

function setting() {
  const keys = DeviceKeys.generate(random)
  const secrets = [random.bytes(32)]
  const gateOf = (own: readonly Uint8Array[]) =>
    new ChannelGate({ keys, secrets: () => own, random })
  const gate = gateOf(secrets)
  const server = { device: keys.device, agreementKey: keys.agreement.publicKey }
  const mesh = bytesToHex(random.bytes(16))
  const ticketOf = (device: DeviceKeys, purpose: Claim['purpose'] = 'sync') => {
    const caller = new ChannelCaller({ server, keys: device, mesh, purpose }, random)
    const admission = gate.admit(caller.answer(gate.challenge(startMs)), startMs)!
    return caller.accepted(admission.reply(''))!.ticket!
  }
  return { gate, gateOf, ticketOf, mesh, secrets }
}

const frames = [utf8ToBytes('one'), new Uint8Array(1000).fill(7)]

function asked(ticket: ChannelTicket, serverNowMs = startMs): Question {
  return new Question({ ticket, frames, serverNowMs, random })
}

function heard(gate: ChannelGate, bytes: Uint8Array, nowMs = startMs) {
  const head = openQuestionHead(gate, bytes.subarray(0, questionHeadBytes), nowMs, random)
  return { head, question: head?.open(bytes.subarray(questionHeadBytes), nowMs) }
}

describe('a question', () => {
  test('says who asks, and is answered to who asked it', () => {
    const { gate, gateOf, ticketOf, mesh, secrets } = setting()
    const device = DeviceKeys.generate(random)
    const question = asked(ticketOf(device))
    // Any process of the server takes it.
    const { head, question: at } = heard(gateOf(secrets), question.bytes)
    expect(head!.claim).toEqual({ device: device.device, mesh, purpose: 'sync' })
    expect(at!.frames).toEqual(frames)
    const answer = at!.answer({ code: 'SOME', frames: [frames[0]!] }, startMs + 5)
    expect(question.answer(answer)).toEqual({
      code: 'SOME',
      frames: [frames[0]],
      nowMs: startMs + 5,
      ticket: undefined,
    })
    const other = asked(ticketOf(device))
    expect(other.answer(answer)).toBeUndefined()
    expect(heard(gate, question.bytes).question!.id).toBe(at!.id)
    expect(heard(gate, other.bytes).question!.id).not.toBe(at!.id)
  })

  test('opens for nobody who has another secret, without its token, or later than it may', () => {
    const { gate, gateOf, ticketOf } = setting()
    const ticket = ticketOf(DeviceKeys.generate(random))
    const { bytes } = asked(ticket)
    expect(heard(gateOf([random.bytes(32)]), bytes).head).toBeUndefined()
    expect(heard(gate, bytes, startMs + tokenMs).head).toBeUndefined()
    expect(heard(gate, bytes, startMs + 5 * minuteMs).question).toBeDefined()
    expect(heard(gate, bytes, startMs + 6 * minuteMs).question).toBeUndefined()
    // A device can't make one that is good for longer.
    const early = asked(ticket, startMs + 2 * minuteMs)
    expect(heard(gate, early.bytes).question).toBeUndefined()
  })

  test('of one device does not open with the token of another, nor any that was changed', () => {
    const { gate, ticketOf } = setting()
    const [one, other] = [1, 2].map(() => asked(ticketOf(DeviceKeys.generate(random))))
    const mixed = new Uint8Array(one!.bytes)
    mixed.set(other!.bytes.subarray(17, questionHeadBytes), 17)
    expect(heard(gate, mixed).head).toBeDefined()
    expect(heard(gate, mixed).question).toBeUndefined()
    for (const at of [0, 3, 30, questionHeadBytes, one!.bytes.length - 1]) {
      const changed = new Uint8Array(one!.bytes)
      changed[at]! ^= 1
      expect(heard(gate, changed).question).toBeUndefined()
    }
    for (const length of [0, 1, questionHeadBytes - 1, questionHeadBytes, one!.bytes.length - 1])
      expect(heard(gate, one!.bytes.subarray(0, length)).question).toBeUndefined()
  })

  test('can not be asked with a token that was got by other means', () => {
    const { gate, mesh } = setting()
    const claim = { device: 'ab'.repeat(32), mesh, purpose: 'register' } as const
    const master = random.bytes(32)
    const expiresAtMs = startMs + tokenMs
    const token = gate.sealToken({ claim, master, expiresAtMs })
    expect(heard(gate, asked({ token, master, expiresAtMs }).bytes).head).toBeUndefined()
  })
})

describe('a token', () => {
  test('is renewed by an answer when half of its time is over, with another key', () => {
    const { gate, ticketOf } = setting()
    const ticket = ticketOf(DeviceKeys.generate(random))
    const half = startMs + tokenMs / 2
    const early = asked(ticket, half - 1)
    const notYet = heard(gate, early.bytes, half - 1).question!
    expect(early.answer(notYet.answer({ code: '', frames: [] }, half - 1))!.ticket).toBeUndefined()
    const late = asked(ticket, half)
    const answer = heard(gate, late.bytes, half).question!.answer({ code: '', frames: [] }, half)
    const renewed = late.answer(answer)!.ticket!
    expect(renewed.expiresAtMs).toBe(half + tokenMs)
    expect(renewed.master).not.toEqual(ticket.master)
    const afterwards = startMs + tokenMs + minuteMs
    const next = asked(renewed, afterwards)
    expect(heard(gate, next.bytes, afterwards).question!.frames).toEqual(frames)
    expect(heard(gate, asked(ticket, afterwards).bytes, afterwards).head).toBeUndefined()
  })
})
