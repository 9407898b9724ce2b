/**
 * The inner channel between a device and a server (docs/protocol.md, Inner channel). TLS is an envelope that may end at a proxy; what is
 * inside is proved and sealed once more, between the device's identity key and the server's agreement key.
 *
 * A server keeps nothing between two messages of the handshake: challenge and token are sealed to itself, so that any process with the same
 * secret can take them. Each connection has keys of its own, which depend on random bytes of both sides: a recorded message opens nowhere else.
 */
import { bytesToHex, concatBytes, emptyBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { type AgreementKey, agreementKeyFromSeed, sharedSecret } from '../crypto/agreement.ts'
import { open, seal } from '../crypto/cipher.ts'
import { domainBytes, domainHash, sha256 } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { verify } from '../crypto/signing.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { ChannelCipher } from './channel-cipher.ts'

/** What a device knows of a server before it talks to it. */
export interface ServerKeys {
  /** The server's identity key, hex. */
  readonly device: string
  /** X25519, 32 bytes. */
  readonly agreementKey: Uint8Array
}

/** In the order of their numbers, from 1. */
const purposes = ['sync', 'register'] as const

/** Who has come, proved by a signature, and what for. Whether it may is for others to say. */
export interface Claim {
  readonly device: string
  readonly mesh: string
  readonly purpose: (typeof purposes)[number]
}

/** A handshake that has come to its end. */
export interface Connection {
  /** What this side sends. */
  readonly sending: ChannelCipher
  readonly receiving: ChannelCipher
  /** 32 bytes that no other connection has: what a proof of membership is bound to. */
  readonly binding: Uint8Array
}

/** Spares a device the next handshake's challenge, with the server that gave it, until it expires. In memory only. */
export interface ChannelTicket {
  readonly master: Uint8Array
  readonly token: Uint8Array
  readonly expiresAtMs: number
}

const version = 1
const kinds = { proof: 1, token: 2 } as const
const replies = { answerChallenge: 0, accepted: 1 } as const
const saltBytes = 16
const challengeMs = 60_000
export const tokenMs: number = 15 * 60_000
const challengeBytes = 1 + 32 + sealedBytes(40)
const claimBytes = 1 + 16 + 32
export const tokenBytes: number = sealedBytes(claimBytes + 32 + 8)
/** No message of the handshake is longer. */
export const handshakeBytesMax = 1_024
const authDomain = 'havenmesh/bridge-auth/v1'

/** The server's side. */
export class ChannelGate {
  readonly #device: string
  readonly #agreement: AgreementKey
  readonly #secrets: () => readonly Uint8Array[]
  readonly #random: Random

  /** @param options.secrets - of 32 bytes, which all processes of this server share; the first is used, any is taken */
  constructor(options: {
    readonly keys: DeviceKeys
    readonly secrets: () => readonly Uint8Array[]
    readonly random: Random
  }) {
    this.#device = options.keys.device
    this.#agreement = options.keys.agreement
    this.#secrets = options.secrets
    this.#random = options.random
  }

  /** What the server says first, to anybody. */
  challenge(nowMs: number): Uint8Array {
    const seed = this.#random.bytes(32)
    const sealed = this.#sealToSelf(
      'havenmesh/bridge-challenge/v1',
      new ByteWriter()
        .bytes(seed)
        .u64(nowMs + challengeMs)
        .finish(),
    )
    return challengeMessage(agreementKeyFromSeed(seed).publicKey, sealed)
  }

  /**
   * Who answers, to be accepted or not.
   *
   * @returns undefined for a token that can't be taken any more: the device is to answer the challenge ({@link answerTheChallenge})
   * @throws HavenError `MALFORMED`, `BAD_SIGNATURE`, `TIMED_OUT`
   */
  admit(message: Uint8Array, nowMs: number): Admission | undefined {
    if (message.length > handshakeBytesMax) throw notAHandshake()
    const reader = new ByteReader(message, 'message of the handshake')
    const kind = reader.u8()
    const salt = reader.bytes(saltBytes)
    if (kind === kinds.token) return this.#resumed(reader.rest(), salt, nowMs)
    if (kind !== kinds.proof) throw notAHandshake()
    return this.#proved(reader, salt, nowMs)
  }

  /** What a token says to whoever has sealed it; undefined when it is none, or not any more. */
  openToken(token: Uint8Array, nowMs: number): OpenedToken | undefined {
    const opened = this.#openOwn('havenmesh/bridge-token/v1', token)
    if (opened === undefined) return undefined
    const reader = new ByteReader(opened, 'token')
    const claim = readClaim(reader)
    const master = reader.bytes(32)
    const expiresAtMs = reader.u64()
    return nowMs < expiresAtMs ? { claim, master, expiresAtMs } : undefined
  }

  /** For who has proved a claim, and has this master key from that. */
  sealToken({ claim, master, expiresAtMs }: OpenedToken): Uint8Array {
    const expiry = new ByteWriter().u64(expiresAtMs).finish()
    return this.#sealToSelf(
      'havenmesh/bridge-token/v1',
      concatBytes(encodeClaim(claim), master, expiry),
    )
  }

  #resumed(token: Uint8Array, salt: Uint8Array, nowMs: number): Admission | undefined {
    const opened = this.openToken(token, nowMs)
    if (opened === undefined) return undefined
    const { claim, master, expiresAtMs } = opened
    return this.#admission(claim, master, salt, { token, expiresAtMs })
  }

  #proved(reader: ByteReader, salt: Uint8Array, nowMs: number): Admission {
    const sealedChallenge = reader.bytes(sealedBytes(40))
    const ephemeral = reader.bytes(32)
    const sealed = reader.rest()
    const opened = this.#openOwn('havenmesh/bridge-challenge/v1', sealedChallenge)
    if (opened === undefined) throw notAHandshake()
    const own = new ByteReader(opened, 'challenge')
    const ownEphemeral = agreementKeyFromSeed(own.bytes(32))
    if (nowMs >= own.u64()) {
      throw new HavenError('TIMED_OUT', 'A device took too long to answer. It tries again.')
    }
    const secrets = [
      sharedSecret(this.#agreement, ephemeral),
      sharedSecret(ownEphemeral, ephemeral),
    ]
    const transcript = transcriptOf(
      { device: this.#device, agreementKey: this.#agreement.publicKey },
      { challenge: challengeMessage(ownEphemeral.publicKey, sealedChallenge), salt, ephemeral },
    )
    const keys = handshakeKeys(secrets, transcript)
    if (keys === undefined) throw notAHandshake()
    const proof = open(keys.proofKey, keys.proofNonce, sealed, emptyBytes)
    if (proof === undefined) throw notAHandshake()
    const proofReader = new ByteReader(proof, 'proof')
    const claim = readClaim(proofReader)
    const signature = proofReader.bytes(64)
    proofReader.end()
    const signed = concatBytes(transcript, encodeClaim(claim))
    if (!verify(hexToBytes(claim.device), authDomain, signed, signature)) {
      throw new HavenError(
        'BAD_SIGNATURE',
        'A device could not prove that it is the one that it says it is.',
      )
    }
    return this.#admission(claim, keys.master(sealed), salt, {
      token: undefined,
      expiresAtMs: nowMs + tokenMs,
    })
  }

  #admission(
    claim: Claim,
    master: Uint8Array,
    deviceSalt: Uint8Array,
    ticket: { readonly token: Uint8Array | undefined; readonly expiresAtMs: number },
  ): Admission {
    // The server's own random bytes: whoever repeats a recorded message gets a connection to which it has no key.
    const serverSalt = this.#random.bytes(saltBytes)
    const { expiresAtMs } = ticket
    const token = ticket.token ?? this.sealToken({ claim, master, expiresAtMs })
    const connection = connectionOf(master, deviceSalt, serverSalt, 'server')
    return {
      claim,
      connection,
      reply(code) {
        const body = new ByteWriter()
          .text(code)
          .lengthPrefixed(code === '' && claim.purpose === 'sync' ? token : emptyBytes)
          .u64(expiresAtMs)
          .finish()
        return concatBytes(
          Uint8Array.of(replies.accepted),
          serverSalt,
          connection.sending.seal(body),
        )
      },
    }
  }

  #sealToSelf(domain: string, plaintext: Uint8Array): Uint8Array {
    const salt = this.#random.bytes(saltBytes)
    const { key, nonce } = ownKey(this.#secrets()[0]!, salt, domain)
    return concatBytes(salt, seal(key, nonce, plaintext, emptyBytes))
  }

  #openOwn(domain: string, sealed: Uint8Array): Uint8Array | undefined {
    for (const secret of this.#secrets()) {
      const { key, nonce } = ownKey(secret, sealed.subarray(0, saltBytes), domain)
      const opened = open(key, nonce, sealed.subarray(saltBytes), emptyBytes)
      if (opened !== undefined) return opened
    }
    return undefined
  }
}

export interface OpenedToken {
  readonly claim: Claim
  /** 32 bytes. */
  readonly master: Uint8Array
  readonly expiresAtMs: number
}

export interface Admission {
  readonly claim: Claim
  readonly connection: Connection
  /**
   * What the device is told, once and before anything else.
   *
   * @param code - why it may not, as an error code; empty: it may
   */
  reply(code: string): Uint8Array
}

/** What a server says to a token that it can't take: the device answers the challenge instead. */
export const answerTheChallenge: Uint8Array = Uint8Array.of(replies.answerChallenge)

/** The device's side of one handshake. */
export class ChannelCaller {
  readonly #server: ServerKeys
  readonly #claim: Claim
  readonly #keys: DeviceKeys
  readonly #salt: Uint8Array
  readonly #random: Random
  #master: Uint8Array | undefined

  constructor(
    options: {
      readonly server: ServerKeys
      readonly keys: DeviceKeys
    } & Pick<Claim, 'mesh' | 'purpose'>,
    random: Random,
  ) {
    this.#server = options.server
    this.#keys = options.keys
    this.#claim = { device: options.keys.device, mesh: options.mesh, purpose: options.purpose }
    this.#salt = random.bytes(saltBytes)
    this.#random = random
  }

  /** @throws HavenError `VERSION_MISMATCH`, `SERVER_NOT_FOUND` */
  answer(challenge: Uint8Array): Uint8Array {
    if (challenge.length !== challengeBytes) throw notTheServer()
    if (challenge[0] !== version) {
      throw new HavenError(
        'VERSION_MISMATCH',
        `The server speaks version ${challenge[0]} of the channel, this device version ${version}. Update the older one.`,
      )
    }
    const ownEphemeral = agreementKeyFromSeed(this.#random.bytes(32))
    const ephemeral = ownEphemeral.publicKey
    const secrets = [
      sharedSecret(ownEphemeral, this.#server.agreementKey),
      sharedSecret(ownEphemeral, challenge.subarray(1, 33)),
    ]
    const transcript = transcriptOf(this.#server, { challenge, salt: this.#salt, ephemeral })
    const keys = handshakeKeys(secrets, transcript)
    if (keys === undefined) throw notTheServer()
    const claim = encodeClaim(this.#claim)
    const signature = this.#keys.signing.sign(authDomain, concatBytes(transcript, claim))
    const proof = concatBytes(claim, signature)
    const sealed = seal(keys.proofKey, keys.proofNonce, proof, emptyBytes)
    this.#master = keys.master(sealed)
    return concatBytes(
      Uint8Array.of(kinds.proof),
      this.#salt,
      challenge.subarray(33),
      ephemeral,
      sealed,
    )
  }

  /** Instead of an answer, as long as a server of the same secret may take it. */
  resume(ticket: ChannelTicket): Uint8Array {
    this.#master = ticket.master
    return concatBytes(Uint8Array.of(kinds.token), this.#salt, ticket.token)
  }

  /**
   * What the server says to the last message. Only who has the server's agreement key can have said it.
   *
   * @returns undefined when the challenge is to be answered instead
   * @throws HavenError `SERVER_NOT_FOUND` for anybody else's answer
   */
  accepted(reply: Uint8Array): Acceptance | undefined {
    if (reply.length === 1 && reply[0] === replies.answerChallenge) return undefined
    const salted = 1 + saltBytes
    const master = this.#master
    if (master === undefined || reply[0] !== replies.accepted || reply.length < salted)
      throw notTheServer()
    const connection = connectionOf(master, this.#salt, reply.subarray(1, salted), 'device')
    const body = connection.receiving.open(reply.subarray(salted))
    if (body === undefined) throw notTheServer()
    const reader = new ByteReader(body, 'answer of the server')
    const code = reader.text(64)
    const token = reader.lengthPrefixed(handshakeBytesMax).slice()
    const expiresAtMs = reader.u64()
    const ticket = token.length === 0 ? undefined : { master, token, expiresAtMs }
    return { code, connection, ticket }
  }
}

export interface Acceptance {
  /** Why not, as an error code; empty: it may. */
  readonly code: string
  readonly connection: Connection
  readonly ticket: ChannelTicket | undefined
}

function notAHandshake(): HavenError {
  return new HavenError('MALFORMED', 'Something that is no device of a mesh wanted to connect.')
}

function notTheServer(): HavenError {
  return new HavenError(
    'SERVER_NOT_FOUND',
    'What answered is not the server: it may be the sign-in page of this network, or another machine has its address now.',
  )
}

function challengeMessage(ephemeral: Uint8Array, sealed: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(version), ephemeral, sealed)
}

/** With its salt and its tag. */
function sealedBytes(plaintextBytes: number): number {
  return saltBytes + plaintextBytes + 16
}

function encodeClaim({ purpose, mesh, device }: Claim): Uint8Array {
  return new ByteWriter()
    .u8(purposes.indexOf(purpose) + 1)
    .bytes(hexToBytes(mesh))
    .bytes(hexToBytes(device))
    .finish()
}

function readClaim(reader: ByteReader): Claim {
  const purpose = purposes[reader.u8() - 1] ?? reader.fail('an unknown purpose')
  return { purpose, mesh: bytesToHex(reader.bytes(16)), device: bytesToHex(reader.bytes(32)) }
}

function transcriptOf(
  server: ServerKeys,
  said: {
    readonly challenge: Uint8Array
    readonly salt: Uint8Array
    readonly ephemeral: Uint8Array
  },
): Uint8Array {
  return domainHash(
    'havenmesh/bridge-transcript/v1',
    hexToBytes(server.device),
    server.agreementKey,
    said.challenge,
    said.salt,
    said.ephemeral,
  )
}

/**
 * @param secrets - of the device's ephemeral key with the server's lasting one and with its ephemeral one
 * @returns undefined when a key was of small order: nobody who means well has one
 */
function handshakeKeys(secrets: readonly (Uint8Array | undefined)[], transcript: Uint8Array) {
  const [lasting, ephemeral] = secrets
  if (lasting === undefined || ephemeral === undefined) return undefined
  const both = concatBytes(lasting, ephemeral)
  const proof = hkdf(both, transcript, domainBytes('havenmesh/bridge-proof/v1'), 44)
  return {
    proofKey: proof.subarray(0, 32),
    proofNonce: proof.subarray(32),
    master: (sealedProof: Uint8Array) =>
      hkdf(both, transcript, domainBytes('havenmesh/bridge-session/v1', sha256(sealedProof)), 32),
  }
}

function ownKey(secret: Uint8Array, salt: Uint8Array, domain: string) {
  const bytes = hkdf(secret, salt, domainBytes(domain), 44)
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
}

function connectionOf(
  master: Uint8Array,
  deviceSalt: Uint8Array,
  serverSalt: Uint8Array,
  side: 'device' | 'server',
): Connection {
  const info = domainBytes('havenmesh/bridge-connection/v1')
  const bytes = hkdf(master, concatBytes(deviceSalt, serverSalt), info, 96)
  const toServer = new ChannelCipher(bytes.slice(0, 32))
  const toDevice = new ChannelCipher(bytes.slice(32, 64))
  return {
    sending: side === 'device' ? toServer : toDevice,
    receiving: side === 'device' ? toDevice : toServer,
    binding: bytes.slice(64),
  }
}
