/** Somebody who talks to a device with the keys that it has got hold of, and is not to be let in. */
import { randomBytes } from 'node:crypto'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import type { Certificate } from '../../src/identity/certificate.ts'
import { openHello, sealHello } from '../../src/identity/hello.ts'
import { decodeInvitation, joinKey } from '../../src/identity/invitation.ts'
import type { JoinOffer } from '../../src/identity/joining.ts'
import { joinOverLink } from '../../src/device/joining-link.ts'
import { systemRandom } from '../../src/device/system.ts'
import { createMeshHost } from '../../src/mesh/mesh-host.ts'
import type { Link, LinkHandler } from '../../src/sync/link.ts'
import { encodeSections } from '../../src/sync/section.ts'
import { hashBinding } from '../mesh/support.ts'

export class Intruder {
  readonly keys = DeviceKeys.generate(systemRandom)

  /** Asks for a certificate and keys as a joining device does, and goes away with them without confirming. */
  async takeOffer(code: string): Promise<JoinOffer> {
    const invitation = decodeInvitation(code, Date.now())
    let taken: JoinOffer | undefined
    await overLink(invitation.addresses.at(-1)!, (link, done) =>
      joinOverLink(
        link,
        {
          mesh: invitation.mesh,
          key: joinKey(invitation),
          inviter: invitation.inviter,
          keys: this.keys,
          deviceName: 'intruder',
          random: systemRandom,
          store(offer) {
            taken = offer
            throw new Error('gone')
          },
        },
        () => done('ended'),
      ),
    )
    if (taken === undefined) throw new Error('nothing was offered')
    return taken
  }

  /**
   * Says hello as a member, under the discovery key of a mesh.
   *
   * @returns the code of the refusal, or what happened instead
   */
  async sayHello(
    address: string,
    hello: { mesh: string; discoveryKey: Uint8Array; certificates: readonly Certificate[] },
  ): Promise<string> {
    const { mesh, discoveryKey, certificates } = hello
    return overLink(address, (link, done) => {
      const ownNonce = systemRandom.bytes(16)
      const terms = { binding: link.binding, mesh }
      queueMicrotask(() => {
        const frame = sealHello(
          {
            ...terms,
            key: discoveryKey,
            side: 'dialler',
            mode: 'member',
            keys: this.keys,
            certificates,
            certificateId: certificates[0]?.id,
            ownNonce,
            peerNonce: undefined,
            sections: encodeSections([]),
          },
          systemRandom,
        )
        link.send(frame)
      })
      return {
        received(frame) {
          const keys = [discoveryKey]
          const answer = openHello(frame, {
            ...terms,
            keys,
            sender: 'listener',
            diallerNonce: ownNonce,
          })
          done(answer?.kind === 'refusal' ? answer.code : 'answered')
        },
        writable() {},
        closed: (reason) => done(`closed: ${reason}`),
      }
    })
  }
}

async function overLink(
  address: string,
  talk: (link: Link, done: (result: string) => void) => LinkHandler,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const host = createMeshHost({
    transportSeed: randomBytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    peers: [address],
    hashBinding,
    accept: (link) => talk(link, resolve),
  })
  try {
    await host.start()
    return await promise
  } finally {
    await host.stop()
  }
}
