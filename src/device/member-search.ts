/** Finding a device of a mesh that this device is not yet, or only just, a member of. */
import { HavenError } from '../core/errors.ts'
import type { MeshHost } from '../mesh/mesh-host.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { hashBinding } from './carrier-binding.ts'
import type { JoinEnd } from './joining-link.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { systemRandom } from './system.ts'

/** Time to find the inviting device, when the caller does not give up earlier. */
const searchMs = 60_000
/** A join has succeeded without it; whoever is slower hears the facts at the next meeting. */
const firstFactsMs = 10_000

const silent: LinkHandler = { received() {}, writable() {}, closed() {} }

/**
 * Dials every address and every device that is found until a conversation over one of the links has reached its end.
 *
 * @returns the address of the device that it was held with
 */
export async function searchMember(
  converse: (link: Link, end: (end: JoinEnd) => void) => LinkHandler,
  addresses: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const { createMeshHost } = await import('../mesh/mesh-host.ts')
  let lastError: HavenError | undefined
  let host: MeshHost | undefined
  const timeout = AbortSignal.timeout(searchMs)
  try {
    return await new Promise<string>((resolve, reject) => {
      const stop = (): void => {
        reject(
          lastError ??
            new HavenError(
              'INVITER_NOT_FOUND',
              'The inviting device was not found. Bring both into one network and keep haven up or haven invite running there.',
            ),
        )
      }
      signal?.addEventListener('abort', stop)
      timeout.addEventListener('abort', stop)
      host = createMeshHost({
        transportSeed: systemRandom.bytes(32),
        listen: ['/ip4/127.0.0.1/tcp/0'],
        peers: [...addresses],
        remembered: [],
        mdns: true,
        hashBinding,
        accept: (link) => {
          if (link.side === 'listener') {
            queueMicrotask(() => {
              link.close('not a member')
            })
            return silent
          }
          return converse(link, (end) => {
            if (end.done) resolve(link.remoteAddress)
            else if (end.final) reject(end.error)
            // Strangers close without a word; what an inviter said is worth more.
            else if (lastError === undefined || end.error.code !== 'INVITER_NOT_FOUND')
              lastError = end.error
          })
        },
      })
      host.start().catch(reject)
      if (signal?.aborted === true) stop()
    })
  } finally {
    await host?.stop()
  }
}

/** A new member that goes away at once should know its collections: they come in the first second of a session. */
export async function hearFacts(
  runtime: MeshRuntime,
  address: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { createMeshHost } = await import('../mesh/mesh-host.ts')
  const host = createMeshHost({
    transportSeed: systemRandom.bytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    peers: [address],
    mdns: false,
    accept: runtime.driver.accept,
    hashBinding,
  })
  try {
    await host.start()
    await runtime.untilIntroduced(
      AbortSignal.any([
        AbortSignal.timeout(firstFactsMs),
        ...(signal === undefined ? [] : [signal]),
      ]),
    )
  } finally {
    await host.stop()
  }
}
