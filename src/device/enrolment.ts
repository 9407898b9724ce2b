/** Becoming a member of a mesh: founding it, joining by an invitation, or recovering it by the words of its founder. */
import { utf8ToBytes } from '../core/bytes.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { recoveryEntropy, rootSeeds } from '../crypto/recovery-words.ts'
import { signingKeyFromSeed } from '../crypto/signing.ts'
import { issueCertificate } from '../identity/certificate.ts'
import type { Certificate } from '../identity/certificate.ts'
import { encodeControlPayload } from '../identity/control-fact.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { openEpochKey } from '../identity/epoch.ts'
import type { KeyGrant } from '../identity/epoch.ts'
import { recoveryKey } from '../identity/hello.ts'
import { decodeInvitation, joinKey } from '../identity/invitation.ts'
import type { JoinOffer } from '../identity/joining.ts'
import { meshIdOf } from '../identity/names.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { FoundOptions, JoinOptions, RecoverOptions } from './api.ts'
import { foundMesh } from './founding.ts'
import { joinOverLink, recoverOverLink } from './joining-link.ts'
import { hearFacts, searchMember } from './member-search.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { epochChange, membershipChange } from './own-membership.ts'
import type { OwnMembership } from './own-membership.ts'
import { systemClock, systemRandom } from './system.ts'

export interface EnrolmentPorts {
  readonly store: MeshStore
  readonly keys: DeviceKeys
  /** As it is stored: also that of a join that was interrupted. */
  membership(): OwnMembership | undefined
  /** From here on the device is a member, and works. */
  start(membership: OwnMembership): Promise<MeshRuntime>
}

export class Enrolment {
  readonly #ports: EnrolmentPorts

  constructor(ports: EnrolmentPorts) {
    this.#ports = ports
  }

  /** @returns the recovery words, which are kept nowhere */
  async found({ meshName, deviceName }: FoundOptions): Promise<string> {
    this.#assertNoMesh()
    const name = checkedName(deviceName ?? 'first device', limits.deviceNameBytes)
    const { store, keys } = this.#ports
    const nowMs = systemClock.nowMs()
    const founded = foundMesh(
      { meshName: checkedName(meshName, limits.meshNameBytes), deviceName: name },
      keys,
      { nowMs, random: systemRandom },
    )
    const membership: OwnMembership = {
      mesh: founded.mesh,
      meshName,
      deviceName: name,
      chain: [founded.certificate],
      complete: true,
      code: '',
    }
    const facts = encodeControlPayload({ time: { ms: nowMs, counter: 0 }, facts: founded.facts })
    await store.batch([
      membershipChange(membership),
      ...founded.keys.map(({ collection, key }) => epochChange(collection, key)),
      { kind: 'secret', name: 'founding/facts', value: facts },
    ])
    await this.#ports.start(membership)
    return founded.words
  }

  async join(code: string, { deviceName, signal }: JoinOptions = {}): Promise<void> {
    this.#assertNoMesh()
    const invitation = decodeInvitation(code, this.#resumesJoin(code) ? 0 : systemClock.nowMs())
    const { store, keys } = this.#ports
    const name = checkedName(
      deviceName ?? this.#ports.membership()?.deviceName ?? '',
      limits.deviceNameBytes,
      true,
    )
    let membership: OwnMembership | undefined
    const terms = {
      mesh: invitation.mesh,
      key: joinKey(invitation),
      inviter: invitation.inviter,
      keys,
      deviceName: name,
      random: systemRandom,
      store: async (offer: JoinOffer, inviterChain: readonly Certificate[]) => {
        membership = {
          mesh: invitation.mesh,
          meshName: offer.meshName,
          deviceName: name,
          chain: [offer.certificate, ...inviterChain],
          complete: false,
          code: normalCode(code),
        }
        const changes = offer.keys.flatMap(({ collection, epoch, sealed }) => {
          const key = openEpochKey(
            sealed,
            { mesh: invitation.mesh, collection, epoch },
            keys.agreement,
          )
          return key === undefined ? [] : [epochChange(collection, key)]
        })
        await store.batch([membershipChange(membership), ...changes])
      },
    }
    const address = await searchMember(
      (link, end) => joinOverLink(link, terms, end),
      invitation.addresses,
      signal,
    )
    if (membership === undefined)
      throw new HavenError('INTERNAL', 'The join ended without a certificate.')
    const complete = { ...membership, complete: true }
    await store.batch([membershipChange(complete)])
    await hearFacts(await this.#ports.start(complete), address, signal)
  }

  async recover({ words, deviceName, peers = [], signal }: RecoverOptions): Promise<void> {
    this.#assertNoMesh()
    const { store, keys } = this.#ports
    const root = signingKeyFromSeed(rootSeeds(recoveryEntropy(words)).signing)
    const mesh = meshIdOf(root.publicKey)
    const name = checkedName(deviceName ?? 'recovered device', limits.deviceNameBytes)
    const certificate = issueCertificate(
      {
        mesh,
        device: keys.device,
        agreementKey: keys.agreement.publicKey,
        role: 'admin',
        issuedAtMs: systemClock.nowMs(),
      },
      root,
      systemRandom,
    )
    const membership: OwnMembership = {
      mesh,
      meshName: '',
      deviceName: name,
      chain: [certificate],
      complete: true,
      code: '',
    }
    const terms = {
      mesh,
      key: recoveryKey(root.publicKey, mesh),
      keys,
      certificate,
      random: systemRandom,
      store: async (grants: readonly KeyGrant[]) => {
        const changes = grants.flatMap(({ collection, epoch, sealed }) => {
          const key = openEpochKey(sealed, { mesh, collection, epoch }, keys.agreement)
          return key === undefined ? [] : [epochChange(collection, key)]
        })
        await store.batch([membershipChange(membership), ...changes])
      },
    }
    let address: string
    try {
      address = await searchMember((link, end) => recoverOverLink(link, terms, end), peers, signal)
    } catch (error) {
      if (!isHavenError(error, 'INVITER_NOT_FOUND')) throw error
      throw new HavenError(
        'RECOVERY_NO_PEER',
        'No device of the mesh of these words was found. Check the words, bring a running device near, or give its address with --peer.',
      )
    }
    const runtime = await this.#ports.start(membership)
    await runtime.writeFacts([{ kind: 'certificate', certificate }])
    await hearFacts(runtime, address, signal)
    await runtime.introduce()
  }

  #resumesJoin(code: string): boolean {
    const membership = this.#ports.membership()
    return membership?.complete === false && membership.code === normalCode(code)
  }

  #assertNoMesh(): void {
    if (this.#ports.membership()?.complete === true) {
      throw new HavenError(
        'ALREADY_MEMBER',
        'This device belongs to a mesh already. Use another --data directory for another mesh.',
      )
    }
  }
}

function normalCode(code: string): string {
  return code.toUpperCase().replaceAll(/[\s-]/g, '')
}

function checkedName(name: string, maxBytes: number, mayBeEmpty = false): string {
  const trimmed = name.trim()
  if ((trimmed === '' && !mayBeEmpty) || utf8ToBytes(trimmed).length > maxBytes) {
    throw new HavenError('USAGE', `A name has 1 to ${maxBytes} bytes of text.`)
  }
  return trimmed
}
