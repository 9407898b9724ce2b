/**
 * Hybrid public key encryption (RFC 9180), base mode, one message for each encapsulation, suite 0x0020 0x0001 0x0003:
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
 *
 * Whoever has the public key can seal: the sender is not authenticated. The names are the RFC's.
 */
import { concatBytes, emptyBytes, hexToBytes, utf8ToBytes } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { type AgreementKey, agreementKeyFromSeed, sharedSecret } from './agreement.ts'
import { open, seal } from './cipher.ts'
import { hmacSha256 } from './hash.ts'

/** What a sealed message is longer than its plaintext: 32 bytes of encapsulated key before it, 16 of tag after it. */
export const hpkeOverheadBytes = 48

/**
 * @param message.info - what the message is for; it opens only under the same
 * @param random - the ephemeral private key comes from it
 * @throws HavenError `MALFORMED` when nothing can be sealed to this public key (small order, wrong length)
 */
export function sealTo(
  publicKey: Uint8Array,
  message: { readonly info: Uint8Array; readonly plaintext: Uint8Array; readonly aad?: Uint8Array },
  random: Random,
): Uint8Array {
  const ephemeral = agreementKeyFromSeed(random.bytes(32))
  const dh = sharedSecret(ephemeral, publicKey)
  if (dh === undefined) {
    throw new HavenError(
      'MALFORMED',
      'A public key to which something was to be sealed is unusable.',
    )
  }
  const enc = ephemeral.publicKey
  const { key, nonce } = keySchedule(dh, concatBytes(enc, publicKey), message.info)
  return concatBytes(enc, seal(key, nonce, message.plaintext, message.aad ?? emptyBytes))
}

/** @returns undefined when it was not sealed to this key with this `info` and `aad`, or was changed */
export function openWith(
  own: AgreementKey,
  message: { readonly info: Uint8Array; readonly sealed: Uint8Array; readonly aad?: Uint8Array },
): Uint8Array | undefined {
  if (message.sealed.length < hpkeOverheadBytes) return undefined
  const enc = message.sealed.subarray(0, 32)
  const dh = sharedSecret(own, enc)
  if (dh === undefined) return undefined
  const { key, nonce } = keySchedule(dh, concatBytes(enc, own.publicKey), message.info)
  return open(key, nonce, message.sealed.subarray(32), message.aad ?? emptyBytes)
}

const version = utf8ToBytes('HPKE-v1')
const kemSuite = concatBytes(utf8ToBytes('KEM'), hexToBytes('0020'))
const suite = concatBytes(
  utf8ToBytes('HPKE'),
  hexToBytes('0020'),
  hexToBytes('0001'),
  hexToBytes('0003'),
)
const baseMode = Uint8Array.of(0)

/** Decap and KeySchedule of the RFC (sections 4.1 and 5.1), for the first message. */
function keySchedule(dh: Uint8Array, kemContext: Uint8Array, info: Uint8Array) {
  const eaePrk = labeledExtract(kemSuite, emptyBytes, 'eae_prk', dh)
  const shared = labeledExpand(kemSuite, eaePrk, 'shared_secret', kemContext, 32)
  const pskIdHash = labeledExtract(suite, emptyBytes, 'psk_id_hash', emptyBytes)
  const infoHash = labeledExtract(suite, emptyBytes, 'info_hash', info)
  const context = concatBytes(baseMode, pskIdHash, infoHash)
  const secret = labeledExtract(suite, shared, 'secret', emptyBytes)
  return {
    key: labeledExpand(suite, secret, 'key', context, 32),
    nonce: labeledExpand(suite, secret, 'base_nonce', context, 12),
  }
}

function labeledExtract(suiteId: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array) {
  // RFC 5869: an absent salt is as many zeros as the hash has bytes, which HMAC pads an empty key to anyway.
  return hmacSha256(salt, version, suiteId, utf8ToBytes(label), ikm)
}

/** @param length - at most 32: one block of HKDF-Expand */
function labeledExpand(
  suiteId: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
) {
  const labeledInfo = concatBytes(
    Uint8Array.of(0, length),
    version,
    suiteId,
    utf8ToBytes(label),
    info,
  )
  return hmacSha256(prk, labeledInfo, Uint8Array.of(1)).slice(0, length)
}
