/** A mesh whose devices all know each other from the start: who joined when is not what is simulated. */
import { meshCollectionId } from '../../src/identity/names.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import type { Certificate } from '../../src/identity/certificate.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { carriesOnly } from '../../src/identity/certificate.ts'
import { foundMesh } from '../../src/device/founding.ts'
import type { FoundedMesh } from '../../src/device/founding.ts'
import type { Fact } from '../../src/identity/control-fact.ts'
import { epochChange, membershipChange } from '../../src/device/own-membership.ts'
import type { OwnMembership } from '../../src/device/own-membership.ts'
import type { RandomStreams } from '../core/random-streams.ts'
import type { DeviceSpec } from '../schedule.ts'
import { Disk } from './disk.ts'

/** By which all wall clocks begin. */
export const epochMs = Date.UTC(2026, 0, 1)

export interface Member {
  readonly keys: DeviceKeys
  readonly membership: OwnMembership
}

export interface SimulatedMesh {
  readonly mesh: string
  readonly members: readonly Member[]
  /** Who founds it, and writes the facts; takes no part in a run. */
  readonly founder: Member
  readonly facts: readonly Fact[]
  /** What a device begins with, before any fact. */
  diskOf(member: Member): Disk
}

export function foundSimulatedMesh(
  devices: readonly DeviceSpec[],
  streams: RandomStreams,
): SimulatedMesh {
  const founderKeys = DeviceKeys.generate(streams.stream('keys/founder'))
  const founded = foundMesh({ meshName: 'simulated', deviceName: '' }, founderKeys, {
    nowMs: epochMs,
    random: streams.stream('keys/mesh'),
  })
  const founder = memberOf(founded, founderKeys, [founded.certificate])
  const certificates: Certificate[] = []
  const members = devices.map(({ name, role }, index) => {
    const random = streams.stream(`keys/${name}`)
    const keys = DeviceKeys.generate(random)
    const certificate = issueCertificate(
      {
        mesh: founded.mesh,
        device: keys.device,
        agreementKey: keys.agreement.publicKey,
        role,
        issuedAtMs: epochMs + 1 + index,
      },
      founderKeys.signing,
      random,
    )
    certificates.push(certificate)
    return memberOf(founded, keys, [certificate, founded.certificate])
  })
  return {
    mesh: founded.mesh,
    members,
    founder,
    facts: [
      ...founded.facts,
      ...certificates.map((certificate): Fact => ({ kind: 'certificate', certificate })),
    ],
    diskOf: (member) => diskOf(founded, member),
  }
}

function memberOf(founded: FoundedMesh, keys: DeviceKeys, chain: readonly Certificate[]): Member {
  const membership = {
    mesh: founded.mesh,
    meshName: 'simulated',
    deviceName: '',
    chain,
    complete: true,
    code: '',
  }
  return { keys, membership }
}

function diskOf(founded: FoundedMesh, { membership }: Member): Disk {
  const disk = new Disk()
  const readsNothing = carriesOnly(membership.chain[0]!)
  disk.apply(membershipChange(membership))
  for (const { collection, key } of founded.keys) {
    if (readsNothing && collection !== meshCollectionId(founded.mesh)) continue
    disk.apply(epochChange(collection, key))
  }
  return disk
}
