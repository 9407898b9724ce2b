import { hexToBytes } from '../../../src/core/bytes.ts'
import { signingKeyFromSeed } from '../../../src/crypto/signing.ts'
import { decodeCertificate, issueCertificate } from '../../../src/identity/certificate.ts'
import type { Certificate } from '../../../src/identity/certificate.ts'
import { verifyChain } from '../../../src/identity/certificate-chain.ts'
import { DeviceKeys } from '../../../src/identity/device-key.ts'
import { meshIdOf } from '../../../src/identity/names.ts'
import type { Authority } from '../../../src/sync/engine-port.ts'
import { seededRandom } from '../../crypto/seeded-random.ts'

const random = seededRandom('a mesh of stubs')
const root = signingKeyFromSeed(random.bytes(32))
const stubMesh: string = meshIdOf(root.publicKey)
const discoveryKey = random.bytes(32)

/** Transferred first, as `_mesh` is. */
export const firstCollection: string = '00'.repeat(16)
export const secondCollection: string = '11'.repeat(16)

export interface StubMember {
  readonly keys: DeviceKeys
  readonly certificate: Certificate
}

/** Making keys and certificates takes longer than many a test: they are made once. */
const members: StubMember[] = []

export function stubMember(index: number): StubMember {
  for (let made = members.length; made <= index; made++) {
    const keys = DeviceKeys.generate(random)
    const certificate = issueCertificate(
      {
        mesh: stubMesh,
        device: keys.device,
        agreementKey: keys.agreement.publicKey,
        role: 'clinician',
        issuedAtMs: made,
      },
      root,
      random,
    )
    members.push({ keys, certificate })
  }
  return members[index]!
}

/** Certificates without facts: a device is a member when it has been heard of, or has shown that the root says so. */
export class StubAuthority implements Authority {
  readonly mesh = hexToBytes(stubMesh)
  readonly device: string
  readonly keys: DeviceKeys
  readonly incarnation: string
  readonly generation: number
  readonly known = new Map<string, Certificate>()
  readonly #own: Certificate

  constructor(
    { keys, certificate }: StubMember,
    { id, generation }: { id: string; generation: number },
  ) {
    this.keys = keys
    this.device = keys.device
    this.#own = certificate
    this.incarnation = id
    this.generation = generation
  }

  discoveryKeys(): Uint8Array[] {
    return [discoveryKey]
  }
  ownCertificate(): { id: string; chain: readonly Certificate[] } {
    return { id: this.#own.id, chain: [this.#own] }
  }
  deviceOfCertificate(id: string): string | undefined {
    return [...this.known.values()].find((certificate) => certificate.id === id)?.device
  }
  acceptChain(chain: readonly Uint8Array[]): string {
    const own = verifyChain(
      stubMesh,
      chain.map((bytes) => decodeCertificate(bytes)),
    )
    this.known.set(own.device, own)
    return own.device
  }
  isMember(device: string): boolean {
    return this.known.has(device)
  }
  isVouchedFor(device: string): boolean {
    return device === this.device || this.known.has(device)
  }
  revocationOf(): undefined {
    return undefined
  }
  sealKeyFor(): undefined {
    return undefined
  }
  epochsFor(): string[] {
    return []
  }
  readableEpochs(): string[] {
    return []
  }
  priorityOf(collection: string): number {
    return collection === firstCollection ? -1 : 1
  }
  invitationKeys(): { key: Uint8Array; code: string }[] {
    return []
  }
  recoveryKey(): undefined {
    return undefined
  }
}
