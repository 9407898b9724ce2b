/** The invitations that this device has given out, and who has used them. They outlive a restart. */
import { bytesToHex } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import { decodeCertificate, roles } from '../identity/certificate.ts'
import type { Certificate, Role } from '../identity/certificate.ts'
import { joinKey } from '../identity/invitation.ts'
import type { Invitation } from '../identity/invitation.ts'

export interface GivenInvitation {
  readonly code: string
  readonly role: Role
  /** With the right to bridge, whatever the role. */
  readonly bridge: boolean
  readonly expiresAtMs: number
  readonly key: Uint8Array
  /** The first device that used it: the code is that device's from then on. */
  device: string | undefined
  certificate: Certificate | undefined
  deviceName: string
  /** The joiner has confirmed, and the certificate is among the facts. */
  used: boolean
}

/** Told apart for so long after it expired, so that who comes late hears why. */
const rememberedMs = 24 * 60 * 60 * 1000

export class InvitationBook {
  readonly #store: CommitStore
  readonly #byCode = new Map<string, GivenInvitation>()

  constructor(store: CommitStore) {
    this.#store = store
  }

  async restore(nowMs: number): Promise<void> {
    for (const { name, value } of await this.#store.secrets('invitation/')) {
      const given = decode(value)
      if (given.expiresAtMs + rememberedMs < nowMs) {
        await this.#store.batch([{ kind: 'secret', name, value: undefined }], { sync: false })
      } else this.#byCode.set(given.code, given)
    }
  }

  async add(
    code: string,
    invitation: Invitation,
    { role, bridge }: Pick<GivenInvitation, 'role' | 'bridge'>,
  ): Promise<GivenInvitation> {
    const given: GivenInvitation = {
      code,
      role,
      bridge,
      expiresAtMs: invitation.expiresAtS * 1000,
      key: joinKey(invitation),
      device: undefined,
      certificate: undefined,
      deviceName: '',
      used: false,
    }
    this.#byCode.set(code, given)
    await this.save(given)
    return given
  }

  /** Durable when it resolves. */
  async save(given: GivenInvitation): Promise<void> {
    await this.#store.batch([
      { kind: 'secret', name: `invitation/${bytesToHex(given.key)}`, value: encode(given) },
    ])
  }

  get(code: string): GivenInvitation | undefined {
    return this.#byCode.get(code)
  }

  keys(): { key: Uint8Array; code: string }[] {
    return [...this.#byCode.values()].map(({ key, code }) => ({ key, code }))
  }

  /**
   * The invitation that a device wants to use now.
   *
   * @throws HavenError `INVITATION_INVALID`, `INVITATION_EXPIRED`, `INVITATION_USED`
   */
  claim(code: string, device: string, nowMs: number): GivenInvitation {
    const given = this.#byCode.get(code)
    if (given === undefined)
      throw new HavenError(
        'INVITATION_INVALID',
        'This invitation is not known here. Ask for a new one.',
      )
    if (given.device !== undefined && given.device !== device) {
      throw new HavenError(
        'INVITATION_USED',
        'Another device has used this invitation. Ask for a new one.',
      )
    }
    // The same device may finish what was interrupted, also when the time is over.
    if (given.device === undefined && nowMs >= given.expiresAtMs) {
      throw new HavenError('INVITATION_EXPIRED', 'This invitation has expired. Ask for a new one.')
    }
    return given
  }
}

function encode(given: GivenInvitation): Uint8Array {
  return new ByteWriter(512)
    .text(given.code)
    .u8(roles.indexOf(given.role))
    .u64(given.expiresAtMs)
    .bytes(given.key)
    .text(given.device ?? '')
    .lengthPrefixed(given.certificate?.bytes ?? new Uint8Array(0))
    .text(given.deviceName)
    .u8(given.used ? 1 : 0)
    .u8(given.bridge ? 1 : 0)
    .finish()
}

function decode(bytes: Uint8Array): GivenInvitation {
  const reader = new ByteReader(bytes, 'invitation')
  const code = reader.text(8192)
  const role = roles[reader.u8()] ?? reader.fail('an unknown role')
  const expiresAtMs = reader.u64()
  const key = reader.bytes(32).slice()
  const device = reader.text(64)
  const certificate = reader.lengthPrefixed(8192)
  const deviceName = reader.text(256)
  const used = reader.u8() === 1
  // Invitations of an older version end before it.
  const bridge = reader.remaining > 0 && reader.u8() === 1
  return {
    code,
    role,
    bridge,
    expiresAtMs,
    key,
    device: device === '' ? undefined : device,
    certificate: certificate.length === 0 ? undefined : decodeCertificate(certificate),
    deviceName,
    used,
  }
}
