/**
 * What happens to the devices in a run, as data: who can talk to whom and when, who writes what, what goes wrong. It follows from a scenario, a seed
 * and the number of a run, knows nothing of what the protocol makes of it, and can be written to a file, shortened, and played again.
 *
 * Times are whole microseconds since the start of the run; devices are named by their index.
 */
import type { Role } from '../src/identity/certificate.ts'

export interface Schedule {
  readonly endUs: number
  readonly devices: readonly DeviceSpec[]
  /** In the order of their beginning. */
  readonly contacts: readonly Contact[]
  /** In the order of time. */
  readonly writes: readonly Write[]
  /** In the order of time. */
  readonly faults: readonly Fault[]
}

export interface DeviceSpec {
  readonly name: string
  readonly site: string
  readonly role: Role
  /** How long an fsync takes. */
  readonly syncUs: number
  /** The device's wall clock is wrong by so much at the start, and goes so much too fast (parts of a million). */
  readonly clockOffsetMs: number
  readonly clockDriftPpm: number
}

/** What a contact is made of. */
export interface LinkProfile {
  readonly latencyUs: number
  /** Each way; `Infinity`: any amount in no time. */
  readonly bytesPerSecond: number
  /** How many of a hundred packets have to be sent again. */
  readonly lossPercent: number
  /** From the beginning of the contact until there is a link. */
  readonly setupUs: number
}

/** Two devices can talk: fromUs ≤ t < toUs, or, when both are the same, at that moment for as long as they have something to say. */
export interface Contact {
  readonly a: number
  readonly b: number
  readonly fromUs: number
  readonly toUs: number
  readonly link: LinkProfile
}

export interface Write {
  readonly atUs: number
  readonly device: number
  readonly record: string
  readonly field: string
  /** Bytes of the value. */
  readonly bytes: number
  readonly urgent: boolean
}

export type Fault =
  /** The process ends and starts again; `power`: what was not synced is lost. */
  | {
      readonly kind: 'crash'
      readonly atUs: number
      readonly device: number
      readonly forUs: number
      readonly power: boolean
    }
  /** Nothing can be written to its disk for a while. */
  | {
      readonly kind: 'disk-full'
      readonly atUs: number
      readonly device: number
      readonly forUs: number
    }
  /** Its data directory is as it was at an earlier moment; `whole`: the rollback mark as well. */
  | {
      readonly kind: 'restore'
      readonly atUs: number
      readonly device: number
      readonly toUs: number
      readonly whole: boolean
    }
  /** Its wall clock jumps. */
  | {
      readonly kind: 'clock-step'
      readonly atUs: number
      readonly device: number
      readonly stepMs: number
    }
  /** It is gone, with all that is on it. */
  | { readonly kind: 'lost'; readonly atUs: number; readonly device: number }
  /** Of what goes through its links from now on, frames are changed (`corrupt`) or said again (`replay`), so many of a thousand. */
  | {
      readonly kind: 'corrupt' | 'replay'
      readonly atUs: number
      readonly device: number
      readonly forUs: number
      readonly perMille: number
    }
  /** Somebody who is no member dials it, so often in a second, and says so many bytes of nothing. */
  | {
      readonly kind: 'strangers'
      readonly atUs: number
      readonly device: number
      readonly forUs: number
      readonly perSecond: number
      readonly bytes: number
    }

export const instantaneous: LinkProfile = {
  latencyUs: 0,
  bytesPerSecond: Infinity,
  lossPercent: 0,
  setupUs: 0,
}
