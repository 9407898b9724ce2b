/** Where devices are used: asked, said and taken back (docs/protocol.md, fact 14). */
import { utf8ToBytes } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { factTypes } from '../identity/control-fact.ts'
import type { DeviceSite } from './api.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

/**
 * @param of - another device: its name, or the beginning of its id
 * @throws HavenError `NOT_FOUND`, `USAGE` where several devices are called so
 */
export function siteOf(runtime: MeshRuntime, of?: string): DeviceSite {
  const device = deviceCalled(runtime, of)
  return { device: runtime.peers.info(device), site: runtime.control.siteOf(device) }
}

/**
 * Says where a device is used; durable and offered to others when it resolves.
 *
 * @param site - null: takes back what was said here before
 * @param of - another device, for which an admin says it: one that can't itself
 * @throws HavenError `USAGE`, `NOT_FOUND`, `NOT_ALLOWED`, `NOT_READABLE_YET`, `RETIRING`
 */
export async function saySite(
  runtime: MeshRuntime,
  site: string | null,
  of?: string,
): Promise<DeviceSite> {
  const { control } = runtime
  const name = site === null ? null : checkedSite(site)
  const device = deviceCalled(runtime, of)
  control.assertTakesWrites()
  if (device !== control.device && control.ownRole !== 'admin') {
    throw new HavenError(
      'NOT_ALLOWED',
      'A device says its site itself: run haven site there. For one that can not, an admin says it.',
    )
  }
  if (control.siteOf(device) !== name) {
    const sealed = name === null ? new Uint8Array(0) : sealedSite(runtime, name)
    await runtime.writeFacts([{ kind: 'site', device, site: sealed }])
  }
  return siteOf(runtime, device)
}

function sealedSite(runtime: MeshRuntime, name: string): Uint8Array {
  const sealed = runtime.sealLabel(name, factTypes.site)
  if (sealed !== undefined) return sealed
  if (runtime.control.carriesOnly) {
    throw new HavenError(
      'NOT_ALLOWED',
      'This device only carries, and can not seal a name. An admin says its site: haven site NAME --of DEVICE.',
    )
  }
  throw new HavenError(
    'NOT_READABLE_YET',
    'The key that names are sealed with has not arrived. Meet another device of the mesh once.',
  )
}

/**
 * One name for one site, however it was typed.
 *
 * @throws HavenError `USAGE`
 */
export function checkedSite(name: string): string {
  const site = name.normalize('NFC').trim().replaceAll(/\s+/g, ' ')
  if (site === '' || utf8ToBytes(site).length > limits.siteNameBytes) {
    throw new HavenError(
      'USAGE',
      `The name of a site has 1 to ${limits.siteNameBytes} bytes of text.`,
    )
  }
  return site
}

function deviceCalled({ control }: MeshRuntime, called: string | undefined): string {
  if (called === undefined || called === '') return control.device
  const members = control.membership.members().map(({ device }) => device)
  const named = members.filter((device) => control.nameOf(device) === called)
  const found = named.length > 0 ? named : members.filter((device) => device.startsWith(called))
  if (found.length === 1) return found[0]!
  if (found.length > 1) {
    throw new HavenError(
      'USAGE',
      'Several devices are called so: write the beginning of the id of the one that is meant (haven status --json).',
    )
  }
  throw new HavenError(
    'NOT_FOUND',
    'There is no such device in this mesh. haven status lists them.',
  )
}
