import { beforeEach, describe, expect, test } from 'vitest'
import { systemRandom } from '../../src/device/system.ts'
import { foundMesh } from '../../src/device/founding.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import { discoveryKey, openEpochKey } from '../../src/identity/epoch.ts'
import { decodeInvitation, encodeInvitation } from '../../src/identity/invitation.ts'
import { Camp, enrol } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { Intruder } from '../support/intruder.ts'
import { until } from '../support/until.ts'

let camp: Camp
let admin: CampDevice
let address: string

beforeEach(async () => {
  camp = await Camp.pitch()
  admin = camp.device('admin')
  await admin.init()
  address = await admin.upOnLoopback()
  await admin.running.set('patients', 'Patient/1', [['gender', '"female"']])
})

describe('is refused, on both sides with the same code, and leaves no trace in the store:', () => {
  test('a device of another mesh', async () => {
    const other = camp.device('other')
    await other.init()
    const stores = [await traces(admin), await traces(other)]
    await other.upOnLoopback(address)
    await untilLogged([admin, other], 'NOT_A_MEMBER')
    const refusal = other.logs.find(({ code }) => code === 'NOT_A_MEMBER')
    expect(refusal, 'says who it was').toMatchObject({ address })
    expect([await traces(admin), await traces(other)]).toEqual(stores)
    await Promise.all([admin.down(), other.down()])
  })

  test('who comes with an invitation that has expired', async () => {
    const invitation = await admin.invite('clinician', '1s')
    await until('expired', () => Date.now() > Date.parse(invitation.expires))
    const before = await traces(admin)
    await expect(camp.device('late').join(invitation.code)).rejects.toMatchObject({
      exit: 1,
      code: 'INVITATION_EXPIRED',
    })
    // By a clock that is late, it has not: then the admin's clock counts.
    const decoded = decodeInvitation(invitation.code, 0)
    const prolonged = encodeInvitation({ ...decoded, expiresAtS: decoded.expiresAtS + 3_600 })
    await expect(camp.device('slow clock').join(prolonged)).rejects.toMatchObject({
      exit: 1,
      code: 'INVITATION_EXPIRED',
    })
    await untilLogged([admin], 'INVITATION_EXPIRED')
    expect(await traces(admin)).toEqual(before)
    await admin.down()
  })

  test('who comes with an invitation that another device has used', async () => {
    const { code } = await admin.invite()
    await camp.device('first').join(code)
    const before = await traces(admin)
    await expect(camp.device('second').join(code)).rejects.toMatchObject({
      exit: 1,
      code: 'INVITATION_USED',
    })
    await untilLogged([admin], 'INVITATION_USED')
    expect(await traces(admin)).toEqual(before)
    await admin.down()
  })

  test('who knows a key of the mesh, and has the certificate of another mesh, of another device, or of nobody', async () => {
    const member = camp.device('member')
    await enrol(member, admin)
    const intruder = new Intruder()
    const { code } = await admin.invite()
    const before = await traces(admin)
    const offer = await intruder.takeOffer(code)
    expect(await traces(admin), 'nobody is a member before confirming').toEqual(before)

    const { mesh } = decodeInvitation(code, 0)
    const epochKeys = offer.keys.flatMap(({ sealed, ...epoch }) => {
      const key = openEpochKey(sealed, { mesh, ...epoch }, intruder.keys.agreement)
      return key === undefined ? [] : [discoveryKey(key, mesh)]
    })
    const elsewhere = foundMesh({ meshName: 'X', deviceName: 'x' }, intruder.keys, {
      nowMs: Date.now(),
      random: systemRandom,
    })
    const ownMade = issueCertificate(
      {
        mesh,
        device: intruder.keys.device,
        agreementKey: intruder.keys.agreement.publicKey,
        role: 'admin',
        issuedAtMs: Date.now(),
      },
      intruder.keys.signing,
      systemRandom,
    )
    const stolen = offer.certificate
    const thief = new Intruder()
    // One of the keys is that of `_mesh`, under which members greet each other.
    const refusals = async (who: Intruder, certificate: typeof ownMade): Promise<string[]> => {
      const hello = { mesh, certificates: [certificate] }
      const said = epochKeys.map((key) => who.sayHello(address, { ...hello, discoveryKey: key }))
      return (await Promise.all(said)).filter((it) => !it.startsWith('closed'))
    }
    expect(await refusals(intruder, elsewhere.certificate)).toEqual(['WRONG_MESH'])
    expect(await refusals(intruder, ownMade)).toEqual(['NOT_A_MEMBER'])
    expect(await refusals(thief, stolen)).toEqual(['NOT_A_MEMBER'])
    await untilLogged([admin], 'WRONG_MESH')
    await untilLogged([admin], 'NOT_A_MEMBER')
    expect(await traces(admin)).toEqual(before)
    await admin.down()
  })
})

/** What a stranger could have left behind. */
async function traces(device: CampDevice): Promise<object> {
  const { clock, collections, peers, notices } = await (device.isUp
    ? device.status()
    : device.run<Awaited<ReturnType<CampDevice['status']>>>('status'))
  return { clock, collections, peers: peers.map((peer) => peer.device), notices }
}

async function untilLogged(devices: readonly CampDevice[], code: string): Promise<void> {
  await until(
    `${code} on ${devices.map(({ name }) => name).join(', ')}`,
    () =>
      devices.every(
        ({ logs, events }) =>
          logs.some((line) => line.code === code) &&
          events.some((event) => event.event === 'refused' && event.code === code),
      ),
    { state: () => devices.map(({ logs, events }) => ({ logs, events })) },
  )
}
