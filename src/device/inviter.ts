/** The inviting side of a join, in two phases: membership is written only after the joiner has confirmed that it holds its certificate. */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock, Random } from '../core/environment.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { defaultRights, issueCertificate, mayRead } from '../identity/certificate.ts'
import type { Rights } from '../identity/certificate.ts'
import { factTypes } from '../identity/control-fact.ts'
import type { Fact } from '../identity/control-fact.ts'
import { sealEpochKey } from '../identity/epoch.ts'
import type { KeyGrant } from '../identity/epoch.ts'
import { encodeInvitation, newInvitation } from '../identity/invitation.ts'
import { decodeJoinConfirm, decodeJoinRequest, encodeJoinOffer } from '../identity/joining.ts'
import { sealFactText } from '../identity/sealed-fact.ts'
import type { Notification } from '../sync/engine-port.ts'
import type { DeviceEvent, DeviceInfo, Invitation, InviteOptions } from './api.ts'
import type { ControlPlane } from './control-plane.ts'
import type { GivenInvitation, InvitationBook } from './invitation-book.ts'
import type { SyncDriver } from './sync-driver.ts'
import { rfc3339 } from './system.ts'

type Timeless<E> = E extends unknown ? Omit<E, 'time'> : never

const defaultTtlMs = 10 * 60 * 1000

export interface InviterOptions {
  readonly control: ControlPlane
  readonly invitations: InvitationBook
  readonly driver: SyncDriver
  readonly clock: Clock
  readonly random: Random
  readonly writeFacts: (facts: readonly Fact[]) => Promise<void>
  readonly emit: (event: Timeless<DeviceEvent>) => void
  readonly log: (
    level: 'info' | 'warn',
    code: string,
    message: string,
    details?: Record<string, unknown>,
  ) => void
}

export class Inviter {
  readonly #options: InviterOptions
  readonly #waiters = new Map<string, Set<(device: DeviceInfo | null) => void>>()

  constructor(options: InviterOptions) {
    this.#options = options
  }

  /** @throws HavenError `NOT_ALLOWED` unless this device is an admin, `USAGE` for a time that is too short or too long */
  async invite(
    { role = 'clinician', bridge = false, ttlMs = defaultTtlMs }: InviteOptions,
    addresses: readonly string[],
  ): Promise<Invitation> {
    const { control, clock, random, invitations } = this.#options
    control.assertTakesWrites()
    if (control.ownRole !== 'admin') {
      throw new HavenError(
        'NOT_ALLOWED',
        'Only an admin can invite. Do it on the device of an admin.',
      )
    }
    if (!(ttlMs >= limits.invitationTtlMinMs && ttlMs <= limits.invitationTtlMaxMs)) {
      throw new HavenError('USAGE', 'An invitation can last from 1 second to 7 days.')
    }
    const expiresAtMs = clock.nowMs() + ttlMs
    const invitation = newInvitation(
      { mesh: control.meshId, device: control.device, expiresAtMs, addresses },
      random,
    )
    const code = encodeInvitation(invitation)
    await invitations.add(code, invitation, { role, bridge })
    return { code, role, expires: rfc3339(invitation.expiresAtS * 1000) }
  }

  /** Resolves with the new member, or null when the time is over. */
  async used(code: string, signal?: AbortSignal): Promise<DeviceInfo | null> {
    const given = this.#options.invitations.get(code)
    if (given === undefined)
      throw new HavenError('INVITATION_INVALID', 'This invitation is not known here.')
    if (given.used && given.device !== undefined) return this.#infoOf(given)
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(code) ?? new Set()
      this.#waiters.set(code, waiters)
      const done = (device: DeviceInfo | null): void => {
        clearTimeout(timer)
        waiters.delete(done)
        resolve(device)
      }
      const timer = setTimeout(
        done,
        Math.max(0, given.expiresAtMs - this.#options.clock.nowMs()),
        null,
      )
      waiters.add(done)
      signal?.addEventListener('abort', () => {
        done(null)
      })
    })
  }

  notified(notification: Extract<Notification, { kind: 'join-request' | 'join-confirm' }>): void {
    const { driver, clock, log } = this.#options
    const work =
      notification.kind === 'join-request' ? this.#offer(notification) : this.#confirm(notification)
    work.catch((error: unknown) => {
      const code = isHavenError(error) ? error.code : 'INTERNAL'
      const message = isHavenError(error)
        ? error.message
        : 'Joining failed on the inviting device. Its log says more.'
      log('warn', code, message)
      driver.engine.refuseJoin(notification.link, code, message, clock.nowMs())
      driver.pump()
    })
  }

  async #offer({
    link,
    code,
    device,
    body,
  }: Extract<Notification, { kind: 'join-request' }>): Promise<void> {
    const { control, invitations, driver, clock, random } = this.#options
    const given = invitations.claim(code, device, clock.nowMs())
    const request = decodeJoinRequest(body)
    if (
      given.certificate === undefined ||
      bytesToHex(given.certificate.agreementKey) !== bytesToHex(request.agreementKey)
    ) {
      given.certificate = issueCertificate(
        {
          mesh: control.meshId,
          device,
          agreementKey: request.agreementKey,
          role: given.role,
          rights: rightsOf(given),
          issuedAtMs: Math.floor(clock.nowMs()),
        },
        control.keys.signing,
        random,
      )
    }
    given.device = device
    given.deviceName = request.deviceName
    // The code is this device's from here on, also if we stop now.
    await invitations.save(given)
    const { certificate } = given
    const keys = control.heldKeys().flatMap(({ collection, key }): KeyGrant[] => {
      if (!mayRead(certificate, collection)) return []
      const to = { mesh: control.meshId, collection, agreementKey: certificate.agreementKey }
      return [{ collection, epoch: control.epochOf(key), sealed: sealEpochKey(key, to, random) }]
    })
    driver.engine.offerJoin(
      link,
      encodeJoinOffer({ certificate, meshName: control.meshName ?? '', keys }),
      clock.nowMs(),
    )
    driver.pump()
    this.#links.set(link, given)
  }

  readonly #links = new Map<string, GivenInvitation>()

  async #confirm({ link, body }: Extract<Notification, { kind: 'join-confirm' }>): Promise<void> {
    const { control, invitations, driver, clock, emit, log } = this.#options
    const given = this.#links.get(link)
    this.#links.delete(link)
    if (given?.certificate === undefined || decodeJoinConfirm(body) !== given.certificate.id) {
      throw new HavenError(
        'OUT_OF_ORDER',
        'A device confirmed a certificate that it was not offered.',
      )
    }
    if (!given.used) {
      if (control.membership.certificate(given.certificate.id) === undefined) {
        await this.#options.writeFacts(this.#factsOf(given))
      }
      given.used = true
      await invitations.save(given)
    }
    driver.engine.welcome(link, clock.nowMs())
    driver.pump()
    const device = this.#infoOf(given)
    log('info', 'JOINED', 'A device joined the mesh.', { device: device.id, role: device.role })
    emit({ event: 'joined', device })
    for (const waiter of this.#waiters.get(given.code) ?? []) waiter(device)
  }

  /** The certificate, and the name that the device asked for: a courier can't seal it itself. */
  #factsOf(given: GivenInvitation): Fact[] {
    const { control, random } = this.#options
    const certificate = given.certificate!
    const labels = control.epochToWrite(control.labelsCollection)
    const facts: Fact[] = [{ kind: 'certificate', certificate }]
    if (labels !== undefined && given.deviceName !== '') {
      const key = { epoch: labels.epoch, epochKey: labels.key }
      const name = sealFactText(
        given.deviceName,
        { mesh: control.meshId, type: factTypes.deviceName },
        key,
        random,
      )
      facts.push({ kind: 'deviceName', device: certificate.device, name })
    }
    return facts
  }

  #infoOf(given: GivenInvitation): DeviceInfo {
    return {
      id: given.device!,
      name: given.deviceName === '' ? null : given.deviceName,
      role: given.role,
    }
  }
}

function rightsOf({ role, bridge }: GivenInvitation): Rights {
  const rights = defaultRights[role]
  return bridge ? { ...rights, bridge } : rights
}
