/**
 * Control facts: what a commit in `_mesh` says about members, keys and collections (docs/protocol.md, Control facts).
 *
 * A fact by itself has no effect; what a set of them means is for membership.ts.
 */
import { bytesToHex, concatBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import { type SigningKey, verify } from '../crypto/signing.ts'
import { type Certificate, decodeCertificate, verifyCertificate } from './certificate.ts'
import { sealedEpochKeyBytes } from './epoch.ts'
import { type FeedPlace, readFeedPlaces, writeFeedPlaces } from './feed-place.ts'
import { meshIdOf } from './names.ts'
import { decodeRevocation, type Revocation, verifyRevocation } from './revocation.ts'
import { sealedFactMaxBytes, sealedSchemaMaxBytes } from './sealed-fact.ts'

/** The numbers of the facts; 11 is reserved. */
export const factTypes = {
  certificate: 1,
  revocation: 2,
  held: 3,
  collection: 4,
  epoch: 5,
  void: 6,
  deviceName: 7,
  meshName: 8,
  schema: 9,
  server: 10,
  retiring: 12,
  rootKeys: 13,
  site: 14,
} as const

interface CertificateFact {
  readonly kind: 'certificate'
  readonly certificate: Certificate
}

interface RevocationFact {
  readonly kind: 'revocation'
  readonly revocation: Revocation
}

/** What the author held of a revoked device's feeds when it learnt of the revocation. */
interface HeldFact {
  readonly kind: 'held'
  readonly revocation: string
  readonly feeds: readonly FeedPlace[]
}

export interface CollectionFact {
  readonly kind: 'collection'
  readonly id: string
  /** 0 is transferred first. */
  readonly priority: number
  /** Sealed. */
  readonly name: Uint8Array
}

export interface EpochFact {
  readonly kind: 'epoch'
  readonly collection: string
  readonly epoch: string
  /** Writers use the epoch with the greatest (depth, id): one more than the deepest parent. */
  readonly depth: number
  readonly parents: readonly string[]
  /** Revocations whose devices don't get this key: who does not hold them does not use or hand on the epoch. */
  readonly excluded: readonly string[]
  /** Sealed keys of 80 bytes. */
  readonly grants: readonly { readonly device: string; readonly sealed: Uint8Array }[]
  /** For recovery, 80 bytes. */
  readonly rootGrant: Uint8Array
}

/** A commit of the author's own that was lost before anybody had it. */
export interface VoidFact {
  readonly kind: 'void'
  readonly feed: string
  readonly seq: number
  /** 32 bytes. */
  readonly id: string
}

export interface DeviceNameFact {
  readonly kind: 'deviceName'
  /** The author itself. */
  readonly device: string
  /** Sealed. */
  readonly name: Uint8Array
}

interface MeshNameFact {
  readonly kind: 'meshName'
  /** Sealed. */
  readonly name: Uint8Array
}

/** A version of a collection's schema. */
export interface SchemaFact {
  readonly kind: 'schema'
  readonly collection: string
  /** From 1. */
  readonly version: number
  /** Sealed: its text, see docs/data-model.md, "Schemas". */
  readonly schema: Uint8Array
}

/** Where a server can be reached. */
export interface ServerFact {
  readonly kind: 'server'
  readonly device: string
  /** `http(s)://host[:port][/path]`, best first; none: it is not to be used any more. */
  readonly addresses: readonly string[]
}

/** Its author is to be wiped: from here on it writes nothing else, and nobody counts on what it holds. */
interface RetiringFact {
  readonly kind: 'retiring'
  /** It goes on after all. */
  readonly cancelled: boolean
}

/** Where a device is used: the devices of one camp say the same. */
export interface SiteFact {
  readonly kind: 'site'
  /** The author itself; or one for which an admin says it. */
  readonly device: string
  /** Sealed; empty: what the author had said before is taken back. */
  readonly site: Uint8Array
}

/** The root's two public keys, signed by the root: epoch keys are sealed to the second one. */
export interface RootKeysFact {
  readonly kind: 'rootKeys'
  readonly publicKey: string
  readonly agreementKey: Uint8Array
  readonly signature: Uint8Array
}

/** A type of a newer version, or a body that this version can't read: kept and carried, and of no effect. */
interface UnknownFact {
  readonly kind: 'unknown'
  readonly type: number
  readonly body: Uint8Array
}

/** Ids and public identity keys are lower-case hex; byte arrays don't share memory with what was decoded. */
export type Fact =
  | CertificateFact
  | RevocationFact
  | HeldFact
  | CollectionFact
  | EpochFact
  | VoidFact
  | DeviceNameFact
  | MeshNameFact
  | SchemaFact
  | ServerFact
  | RetiringFact
  | RootKeysFact
  | SiteFact
  | UnknownFact

/** The payload of a commit of kind 2. */
export interface ControlPayload {
  readonly time: HybridTime
  readonly facts: readonly Fact[]
}

export function encodeControlPayload(payload: ControlPayload): Uint8Array {
  const writer = new ByteWriter().u8(1)
  // 48 bits of milliseconds, 16 of counter: docs/data-model.md.
  writer.u16(Math.floor(payload.time.ms / 2 ** 32)).u32(payload.time.ms % 2 ** 32)
  writer.u16(payload.time.counter).varint(payload.facts.length)
  for (const fact of payload.facts) {
    writer.varint(typeOf(fact)).lengthPrefixed(encodeFactBody(fact))
  }
  return writer.finish()
}

/**
 * Reads the payload of a control commit. A fact whose body can't be read becomes an {@link UnknownFact}, so that one
 * of a newer version does not hide its neighbours.
 *
 * @throws HavenError `MALFORMED` when the payload around the facts can't be read
 */
export function decodeControlPayload(bytes: Uint8Array): ControlPayload {
  const reader = new ByteReader(bytes, 'control payload')
  if (reader.u8() !== 1) reader.fail('an unknown format')
  const ms = reader.u16() * 2 ** 32 + reader.u32()
  const time = { ms, counter: reader.u16() }
  const facts = Array.from({ length: reader.count(2, limits.controlFacts) }, () => {
    const type = reader.varint()
    const body = reader.lengthPrefixed(reader.remaining)
    return readableFact(type, body)
  })
  reader.end()
  return { time, facts }
}

export function encodeFactBody(fact: Fact): Uint8Array {
  switch (fact.kind) {
    case 'certificate':
      return fact.certificate.bytes
    case 'revocation':
      return fact.revocation.bytes
    case 'held': {
      const writer = new ByteWriter().bytes(hexToBytes(fact.revocation))
      writeFeedPlaces(writer, fact.feeds)
      return writer.finish()
    }
    case 'collection':
      return new ByteWriter()
        .bytes(hexToBytes(fact.id))
        .u8(fact.priority)
        .lengthPrefixed(fact.name)
        .finish()
    case 'epoch':
      return encodeEpoch(fact)
    case 'void':
      return new ByteWriter()
        .bytes(hexToBytes(fact.feed))
        .varint(fact.seq)
        .bytes(hexToBytes(fact.id))
        .finish()
    case 'deviceName':
      return new ByteWriter().bytes(hexToBytes(fact.device)).lengthPrefixed(fact.name).finish()
    case 'meshName':
      return new ByteWriter().lengthPrefixed(fact.name).finish()
    case 'schema':
      return new ByteWriter()
        .bytes(hexToBytes(fact.collection))
        .varint(fact.version)
        .lengthPrefixed(fact.schema)
        .finish()
    case 'server': {
      const writer = new ByteWriter().bytes(hexToBytes(fact.device)).varint(fact.addresses.length)
      for (const address of fact.addresses) writer.text(address)
      return writer.finish()
    }
    case 'retiring':
      return Uint8Array.of(fact.cancelled ? 1 : 0)
    case 'rootKeys':
      return concatBytes(hexToBytes(fact.publicKey), fact.agreementKey, fact.signature)
    case 'site':
      return new ByteWriter().bytes(hexToBytes(fact.device)).lengthPrefixed(fact.site).finish()
    case 'unknown':
    default:
      return fact.body
  }
}

/** @throws HavenError `MALFORMED` for a body of a known type that this version can't read */
export function decodeFactBody(type: number, body: Uint8Array): Fact {
  if (type === factTypes.certificate) {
    return { kind: 'certificate', certificate: decodeCertificate(body) }
  }
  if (type === factTypes.revocation) {
    return { kind: 'revocation', revocation: decodeRevocation(body) }
  }
  const read = readers.get(type)
  if (read === undefined) return { kind: 'unknown', type, body: body.slice() }
  const reader = new ByteReader(body.slice(), 'control fact')
  const fact = read(reader)
  reader.end()
  return fact
}

/**
 * Whether the fact is what it claims to be: its signature holds, it is of this mesh, and it speaks of the author where
 * it has to. Whether the author may say such a thing is for membership.ts, which takes verified facts only.
 *
 * @param from.author - device that signed the commit
 */
export function verifyFact(
  fact: Fact,
  from: { readonly mesh: string; readonly author: string },
): boolean {
  if (fact.kind === 'certificate') {
    return fact.certificate.mesh === from.mesh && verifyCertificate(fact.certificate)
  }
  if (fact.kind === 'revocation') {
    return fact.revocation.mesh === from.mesh && verifyRevocation(fact.revocation)
  }
  return fact.kind !== 'rootKeys' || isSignedByRoot(fact, from.mesh)
}

/** @param root.agreementKey - X25519, from the recovery words as the signing key is */
export function rootKeysFact(root: {
  readonly signing: SigningKey
  readonly agreementKey: Uint8Array
}): RootKeysFact {
  const { publicKey } = root.signing
  const mesh = hexToBytes(meshIdOf(publicKey))
  return {
    kind: 'rootKeys',
    publicKey: bytesToHex(publicKey),
    agreementKey: root.agreementKey,
    signature: root.signing.sign(rootKeysDomain, concatBytes(mesh, publicKey, root.agreementKey)),
  }
}

const rootKeysDomain = 'havenmesh/root-keys/v1'

function isSignedByRoot(fact: RootKeysFact, mesh: string): boolean {
  const publicKey = hexToBytes(fact.publicKey)
  if (meshIdOf(publicKey) !== mesh) return false
  const message = concatBytes(hexToBytes(mesh), publicKey, fact.agreementKey)
  return verify(publicKey, rootKeysDomain, message, fact.signature)
}

function typeOf(fact: Fact): number {
  return fact.kind === 'unknown' ? fact.type : factTypes[fact.kind]
}

function readableFact(type: number, body: Uint8Array): Fact {
  try {
    return decodeFactBody(type, body)
  } catch {
    return { kind: 'unknown', type, body: body.slice() }
  }
}

const id = (reader: ByteReader) => bytesToHex(reader.bytes(16))
const key = (reader: ByteReader) => bytesToHex(reader.bytes(32))
const sealedText = (reader: ByteReader) => reader.lengthPrefixed(sealedFactMaxBytes)

const readers: ReadonlyMap<number, (reader: ByteReader) => Fact> = new Map([
  [
    factTypes.held,
    (reader): Fact => ({ kind: 'held', revocation: id(reader), feeds: readFeedPlaces(reader) }),
  ],
  [
    factTypes.collection,
    (reader): Fact => ({
      kind: 'collection',
      id: id(reader),
      priority: reader.u8(),
      name: sealedText(reader),
    }),
  ],
  [factTypes.epoch, readEpoch],
  [
    factTypes.void,
    (reader): Fact => ({ kind: 'void', feed: id(reader), seq: reader.varint(), id: key(reader) }),
  ],
  [
    factTypes.deviceName,
    (reader): Fact => ({ kind: 'deviceName', device: key(reader), name: sealedText(reader) }),
  ],
  [factTypes.meshName, (reader): Fact => ({ kind: 'meshName', name: sealedText(reader) })],
  [
    factTypes.schema,
    (reader): Fact => ({
      kind: 'schema',
      collection: id(reader),
      version: readSchemaVersion(reader),
      schema: reader.lengthPrefixed(sealedSchemaMaxBytes),
    }),
  ],
  [
    factTypes.server,
    (reader): Fact => ({
      kind: 'server',
      device: key(reader),
      addresses: Array.from({ length: reader.count(1, limits.serverAddresses) }, () =>
        reader.text(limits.serverAddressBytes),
      ),
    }),
  ],
  [factTypes.retiring, readRetiring],
  [
    factTypes.rootKeys,
    (reader): Fact => ({
      kind: 'rootKeys',
      publicKey: key(reader),
      agreementKey: reader.bytes(32),
      signature: reader.bytes(64),
    }),
  ],
  [
    factTypes.site,
    (reader): Fact => ({ kind: 'site', device: key(reader), site: sealedText(reader) }),
  ],
])

function readSchemaVersion(reader: ByteReader): number {
  const version = reader.varint()
  if (version === 0) reader.fail('a schema with the number of the built-in one')
  return version
}

function readRetiring(reader: ByteReader): Fact {
  const flag = reader.u8()
  if (flag > 1) reader.fail('an unknown flag')
  return { kind: 'retiring', cancelled: flag === 1 }
}

function encodeEpoch(fact: EpochFact): Uint8Array {
  const writer = new ByteWriter()
    .bytes(hexToBytes(fact.collection))
    .bytes(hexToBytes(fact.epoch))
    .varint(fact.depth)
  for (const ids of [fact.parents, fact.excluded]) {
    writer.varint(ids.length)
    for (const one of ids) writer.bytes(hexToBytes(one))
  }
  writer.varint(fact.grants.length)
  for (const { device, sealed } of fact.grants) writer.bytes(hexToBytes(device)).bytes(sealed)
  return writer.bytes(fact.rootGrant).finish()
}

function readEpoch(reader: ByteReader): EpochFact {
  const ids = () => Array.from({ length: reader.count(16) }, () => id(reader))
  return {
    kind: 'epoch',
    collection: id(reader),
    epoch: id(reader),
    depth: reader.varint(),
    parents: ids(),
    excluded: ids(),
    grants: Array.from({ length: reader.count(32 + sealedEpochKeyBytes) }, () => ({
      device: key(reader),
      sealed: reader.bytes(sealedEpochKeyBytes),
    })),
    rootGrant: reader.bytes(sealedEpochKeyBytes),
  }
}
