import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { openQuestionHead, Question, questionHeadBytes } from '../../src/bridge/exchange-seal.ts'
import { ChannelCaller, ChannelGate } from '../../src/bridge/inner-channel.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'

/** Counts up from a first byte: easy to make in any language. */
function sequence(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff)
}

const counting = (first: number) => ({ bytes: (count: number) => sequence(first, count) })

/** Every message of the channel, from fixed inputs: all random bytes of a side are one sequence. */
export function bridgeVectors() {
  const device = new DeviceKeys({ signing: sequence(0, 32), agreement: sequence(32, 32) })
  const server = new DeviceKeys({ signing: sequence(64, 32), agreement: sequence(96, 32) })
  const secret = sequence(128, 32)
  const nowMs = 1_700_000_000_000
  const mesh = bytesToHex(sequence(160, 16))
  const gate = new ChannelGate({ keys: server, secrets: () => [secret], random: counting(1) })
  const known = { device: server.device, agreementKey: server.agreement.publicKey }
  const caller = new ChannelCaller(
    { server: known, keys: device, mesh, purpose: 'sync' },
    counting(2),
  )

  const challenge = gate.challenge(nowMs)
  const proof = caller.answer(challenge)
  const admission = gate.admit(proof, nowMs)!
  const reply = admission.reply('')
  const accepted = caller.accepted(reply)!
  const toServer = accepted.connection.sending.seal(utf8ToBytes('up'))
  const toDevice = admission.connection.sending.seal(utf8ToBytes('down'))

  const again = new ChannelCaller(
    { server: known, keys: device, mesh, purpose: 'sync' },
    counting(3),
  )
  const resume = again.resume(accepted.ticket!)
  const resumed = gate.admit(resume, nowMs)!

  const question = new Question({
    ticket: accepted.ticket!,
    frames: [utf8ToBytes('first'), utf8ToBytes('second')],
    serverNowMs: nowMs,
    random: counting(4),
  })
  const head = question.bytes.subarray(0, questionHeadBytes)
  // Late enough for a new token.
  const answeredMs = nowMs + 10 * 60_000
  const heard = openQuestionHead(gate, head, nowMs, counting(5))!.open(
    question.bytes.subarray(questionHeadBytes),
    nowMs,
  )!
  const answer = heard.answer({ code: '', frames: [utf8ToBytes('third')] }, answeredMs)
  const renewed = question.answer(answer)!.ticket!
  return {
    device: { id: device.device, signingSeed: hex(sequence(0, 32)) },
    server: {
      id: server.device,
      agreementSeed: hex(sequence(96, 32)),
      agreementKey: hex(server.agreement.publicKey),
      secret: hex(secret),
    },
    mesh,
    nowMs,
    challenge: hex(challenge),
    proof: hex(proof),
    reply: hex(reply),
    master: hex(accepted.ticket!.master),
    token: hex(accepted.ticket!.token),
    tokenExpiresAtMs: accepted.ticket!.expiresAtMs,
    binding: hex(accepted.connection.binding),
    firstToServer: hex(toServer),
    secondToDevice: hex(toDevice),
    resume: hex(resume),
    resumeReply: hex(resumed.reply('')),
    resumeBinding: hex(resumed.connection.binding),
    question: hex(question.bytes),
    questionExpiresAtMs: heard.expiresAtMs,
    answeredMs,
    answer: hex(answer),
    renewedMaster: hex(renewed.master),
    renewedToken: hex(renewed.token),
    renewedTokenExpiresAtMs: renewed.expiresAtMs,
  }
}

const hex = bytesToHex
