import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import {
  type Certificate,
  type CertificateTerms,
  issueCertificate,
  type Role,
} from '../../src/identity/certificate.ts'
import type { Fact } from '../../src/identity/control-fact.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import type { FeedPlace } from '../../src/identity/feed-place.ts'
import { evaluateMembership, type PlacedFact } from '../../src/identity/membership.ts'
import { meshIdOf } from '../../src/identity/names.ts'
import { issueRevocation, type Revocation } from '../../src/identity/revocation.ts'
import { seededRandom } from '../crypto/seeded-random.ts'

/** A device that writes facts into its own feed of `_mesh`, one a commit. */
export interface TestDevice {
  readonly keys: DeviceKeys
  readonly id: string
  readonly feed: string
  /** Commits so far. */
  seq: number
}

/** A mesh whose facts all lie in one list, as a replica that holds everything has them. */
export class TestMesh {
  readonly random
  readonly root
  readonly id: string
  readonly facts: PlacedFact[] = []
  #now = 1_000

  constructor(seed = 'mesh') {
    this.random = seededRandom(seed)
    this.root = signingKeyFromSeed(this.random.bytes(32))
    this.id = meshIdOf(this.root.publicKey)
  }

  device(): TestDevice {
    const keys = DeviceKeys.generate(this.random)
    return { keys, id: keys.device, feed: hash(`feed ${keys.device}`).slice(0, 32), seq: 0 }
  }

  /** A device with a certificate from the root, which it writes down itself. */
  founder(): TestDevice {
    const device = this.device()
    this.certify('root', device, 'admin', { carrier: device })
    return device
  }

  /** A new device, certified by an admin. */
  enrol(issuer: TestDevice, role: Role): TestDevice {
    const device = this.device()
    this.certify(issuer, device, role)
    return device
  }

  certify(
    issuer: TestDevice | 'root',
    device: TestDevice,
    role: Role,
    more: { readonly carrier?: TestDevice } & Partial<CertificateTerms> = {},
  ): Certificate {
    const { carrier = issuer, ...terms } = more
    const certificate = issueCertificate(
      {
        mesh: this.id,
        device: device.id,
        agreementKey: device.keys.agreement.publicKey,
        role,
        issuedAtMs: this.#now++,
        ...terms,
      },
      issuer === 'root' ? this.root : issuer.keys.signing,
      this.random,
    )
    if (carrier === 'root') throw new Error('some device has to write it down')
    this.write(carrier, { kind: 'certificate', certificate })
    return certificate
  }

  /** @param known - feeds of the device that the author knew; none: everything is hidden */
  revoke(
    author: TestDevice | 'root',
    device: TestDevice,
    known: readonly FeedPlace[] = [],
    carrier: TestDevice | 'root' = author,
  ): Revocation {
    const revocation = issueRevocation(
      { mesh: this.id, device: device.id, timeMs: this.#now++, heads: known },
      author === 'root' ? this.root : author.keys.signing,
      this.random,
    )
    if (carrier === 'root') throw new Error('some device has to write it down')
    this.write(carrier, { kind: 'revocation', revocation })
    return revocation
  }

  held(author: TestDevice, revocation: Revocation, feeds: readonly FeedPlace[]): void {
    this.write(author, { kind: 'held', revocation: revocation.id, feeds })
  }

  write(author: TestDevice, fact: Fact): PlacedFact {
    const seq = ++author.seq
    const placed = {
      fact,
      author: author.id,
      feed: author.feed,
      seq,
      commitId: commitId(author, seq),
      time: { ms: this.#now++, counter: 0 },
    }
    this.facts.push(placed)
    return placed
  }

  evaluate(facts: readonly PlacedFact[] = this.facts) {
    return evaluateMembership(this.id, facts)
  }
}

/** The place that a device's feed has reached, or had reached at `seq`. */
export function placeOf(device: TestDevice, seq = device.seq): FeedPlace {
  return { feed: device.feed, seq, head: commitId(device, seq).slice(0, 16) }
}

export function commitId(device: TestDevice, seq: number): string {
  return hash(`commit ${device.id} ${seq}`)
}

function hash(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)))
}
