/** What a server has to keep to itself to stay the server that it is. */
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { DeviceKeys } from '../identity/device-key.ts'

export interface ServerSecrets {
  readonly keys: DeviceKeys
  /** Seals the rows of all stores. */
  readonly storeKey: Uint8Array
  /** The secrets of codes follow from it. */
  readonly invitationKey: Uint8Array
}

/** Other names than a device's, so that neither takes the other's directory for its own. */
const names = {
  device: 'server/device',
  store: 'server/store',
  invitations: 'server/invitations',
} as const

/** As a keystore keeps them. */
export function newServerSecrets(random: Random): Record<string, Uint8Array> {
  return {
    [names.device]: DeviceKeys.generate(random).encode(),
    [names.store]: random.bytes(32),
    [names.invitations]: random.bytes(32),
  }
}

/** As a keystore keeps those that there are. */
export function namedSecrets(secrets: ServerSecrets): Map<string, Uint8Array> {
  return new Map([
    [names.device, secrets.keys.encode()],
    [names.store, secrets.storeKey],
    [names.invitations, secrets.invitationKey],
  ])
}

/**
 * @param get - a secret of the keystore
 * @param place - for messages
 * @throws HavenError `USAGE` for a device's keystore
 */
export function readServerSecrets(
  get: (name: string) => Uint8Array | undefined,
  place: string,
): ServerSecrets {
  const device = get(names.device)
  const storeKey = get(names.store)
  const invitationKey = get(names.invitations)
  if (device === undefined || storeKey === undefined || invitationKey === undefined) {
    throw new HavenError(
      'USAGE',
      `In ${place} there is a device of a mesh. Give the server a directory of its own with --data.`,
    )
  }
  return { keys: DeviceKeys.decode(device), storeKey, invitationKey }
}
