/** The two key pairs that make a device: one to sign, one to be sealed to. */
import { bytesToHex } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { type AgreementKey, agreementKeyFromSeed } from '../crypto/agreement.ts'
import { type SigningKey, signingKeyFromSeed } from '../crypto/signing.ts'

/**
 * A device's identity. The seeds come out by `encode` only, so that logging the object, or making JSON of it, shows no
 * secret.
 */
export class DeviceKeys {
  /** The device id: the public identity key in hex. */
  readonly device: string
  /** The identity key, Ed25519. */
  readonly signing: SigningKey
  /** X25519, independent of the identity key. */
  readonly agreement: AgreementKey
  readonly #signingSeed: Uint8Array
  readonly #agreementSeed: Uint8Array

  /** @param seeds - 32 random bytes each */
  constructor(seeds: { readonly signing: Uint8Array; readonly agreement: Uint8Array }) {
    this.#signingSeed = seeds.signing.slice()
    this.#agreementSeed = seeds.agreement.slice()
    this.signing = signingKeyFromSeed(this.#signingSeed)
    this.agreement = agreementKeyFromSeed(this.#agreementSeed)
    this.device = bytesToHex(this.signing.publicKey)
  }

  static generate(random: Random): DeviceKeys {
    return new DeviceKeys({ signing: random.bytes(32), agreement: random.bytes(32) })
  }

  /** The secret form, 65 bytes: for the key file, and nowhere else. */
  encode(): Uint8Array {
    return new ByteWriter(65).u8(1).bytes(this.#signingSeed).bytes(this.#agreementSeed).finish()
  }

  /** @throws HavenError `MALFORMED` */
  static decode(bytes: Uint8Array): DeviceKeys {
    const reader = new ByteReader(bytes, 'device key')
    if (reader.u8() !== 1) reader.fail('an unknown version')
    const signing = reader.bytes(32)
    const agreement = reader.bytes(32)
    reader.end()
    return new DeviceKeys({ signing, agreement })
  }
}
