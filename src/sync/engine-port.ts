/** What goes into the engine and comes out of it. Whoever drives it (device, simulator) does what the outputs ask, in their order. */
import type { Random } from '../core/environment.ts'
import type { StoredCommit, StoredDescriptor } from '../feed/commit-store.ts'
import type { Certificate } from '../identity/certificate.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import type { FeedChain, Link as ChainLink, Place } from '../feed/chain.ts'
import type { Positions } from './positions.ts'

/** What the engine has to know of members and keys; the device keeps it up to date from the control facts. */
export interface Authority {
  readonly mesh: Uint8Array
  readonly device: string
  readonly keys: DeviceKeys
  /** Keys of the mesh that members know each other by, the newest first. */
  discoveryKeys(): Uint8Array[]
  /** Own certificate's id, and the chain from it up to the root. */
  ownCertificate(): { id: string; chain: readonly Certificate[] }
  /** The device that a known certificate belongs to, if it is a member. */
  deviceOfCertificate(certificateId: string): string | undefined
  /**
   * The device that a chain of certificates makes a member.
   *
   * @throws HavenError `WRONG_MESH`, `BAD_SIGNATURE`, `NOT_A_MEMBER`
   */
  acceptChain(chain: Uint8Array[]): string
  isMember(device: string): boolean
  /** Whether some certificate vouches for the author of a feed, so that it is to be stored and carried. */
  isVouchedFor(device: string): boolean
  /** The revocation to show to a device that is not a member any more. */
  revocationOf(device: string): Uint8Array | undefined
  /** The key of an epoch, sealed to a member, if it is held here and the member may have it. */
  sealKeyFor(device: string, epoch: string): { collection: string; sealed: Uint8Array } | undefined
  /** All epochs that a member may have, for one who asks for all. */
  epochsFor(device: string): string[]
  /** First 8 bytes of the ids of the epochs that this device can read, hex. */
  readableEpochs(): string[]
  /** Order of transfer: lower goes first; `_mesh` is the lowest. */
  priorityOf(collection: string): number
  /** Invitations that wait for a joiner: the key that seals their hellos. */
  invitationKeys(): { key: Uint8Array; code: string }[]
  /** The key that seals the hello of a device that was made an admin by the recovery words. */
  recoveryKey(): Uint8Array | undefined
  readonly incarnation: string
  readonly generation: number
}

export interface EngineOptions {
  readonly authority: Authority
  readonly random: Random
  readonly intake?: Intake | undefined
  readonly outflow?: Outflow | undefined
  /** Other processes speak for this device too, from the same store: announcements are made by who keeps their numbers (`announce`). */
  readonly isShared?: boolean | undefined
  /** By what askers go on where their last answer ended; default: what this process counts. */
  readonly positions?: Positions | undefined
}

/**
 * How many bytes of commits may be on their way from a device to here, where there is less room than `limits.windowMaxBytes`. At 0 it sends
 * nothing but control facts and what is urgent, and is told `QUOTA_EXCEEDED`; below that, whatever it sends ends the session. The device is
 * empty as long as it is not known who is there.
 */
export type Intake = (device: string) => number

/**
 * How many bytes of commits may go to a device now, where that is bounded: control facts and what is urgent go beyond. At 0 nothing else
 * does, and what the two tell each other of what they hold waits for `chatterMs` of `gathered.ts`.
 */
export type Outflow = (device: string) => number

/** A part of a feed to be read for a peer. */
export interface RunRequest {
  readonly feed: string
  /** Commits above this seq. */
  readonly after: number
  readonly upTo: number
  /** Where known, which commit is before the first (whole id, hex): in a forked feed it picks the branch. */
  readonly base: string | undefined
  /** Where the first one is the beginning of a branch: its id, hex. */
  readonly first: string | undefined
}

export interface LoadedRun {
  readonly base: Place
  /** Consecutive; the last one is signed. */
  readonly commits: readonly StoredCommit[]
}

export type LoadRequest =
  /** Answered with a `LoadedRun` (or undefined) for each part, about `maxBytes` in all, at least one commit. */
  | { readonly kind: 'runs'; readonly parts: readonly RunRequest[]; readonly maxBytes: number }
  /** Answered with the links of all commits held at these places, when all persists before it have ended. */
  | {
      readonly kind: 'links'
      readonly feed: string
      readonly ranges: readonly { from: number; to: number }[]
    }

export type LoadResult =
  | { readonly kind: 'runs'; readonly runs: readonly (LoadedRun | undefined)[] }
  | { readonly kind: 'links'; readonly links: readonly ChainLink[] }

export type Notification =
  | {
      readonly kind: 'opened'
      readonly link: string
      readonly device: string
      /** For one question and its answer only. */
      readonly isBrief: boolean
    }
  | {
      readonly kind: 'closed'
      readonly link: string
      readonly device: string | undefined
      readonly reason: string
      readonly isBrief: boolean
    }
  /** Somebody was, or we were, turned away. */
  | {
      readonly kind: 'refused'
      readonly link: string
      readonly code: string
      readonly by: 'us' | 'them'
    }
  | { readonly kind: 'progress'; readonly link: string; readonly device: string }
  | { readonly kind: 'stored'; readonly commits: readonly StoredCommit[] }
  | { readonly kind: 'forked'; readonly feed: string }
  /** Others have heard this device say what it does not remember: the store is an older one. */
  | { readonly kind: 'forgotten'; readonly incarnation: string }
  | {
      readonly kind: 'key'
      readonly collection: string
      readonly epoch: string
      readonly sealed: Uint8Array
    }
  | { readonly kind: 'revoked'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'join-request'
      readonly link: string
      readonly code: string
      readonly device: string
      readonly body: Uint8Array
    }
  | { readonly kind: 'join-confirm'; readonly link: string; readonly body: Uint8Array }

export type Output =
  | { readonly type: 'send'; readonly link: string; readonly frame: Uint8Array }
  | {
      readonly type: 'persist'
      readonly token: number
      readonly descriptors: readonly StoredDescriptor[]
      readonly commits: readonly StoredCommit[]
      readonly chains: readonly FeedChain[]
    }
  /** What may be lost and rebuilt: no fsync, no answer. Of several values of a name that with the greatest order is the newest. */
  | {
      readonly type: 'remember'
      readonly name: string
      readonly value: Uint8Array
      readonly order: number
    }
  /** It is time to say what is held: `announcement` makes what there is to say, and `announced` passes it on. */
  | { readonly type: 'announce' }
  | { readonly type: 'load'; readonly token: number; readonly request: LoadRequest }
  | { readonly type: 'wakeAt'; readonly ms: number }
  | { readonly type: 'notify'; readonly notification: Notification }
  /** Over a link that asks, there is something to say: whoever asks may do so at once. */
  | { readonly type: 'news'; readonly link: string }
  | { readonly type: 'close'; readonly link: string; readonly reason: string }
