/**
 * A mesh that is made for a measurement: an admin that is a real member at work, over a database in memory, and members that are no
 * more than keys and a certificate. What they have written is signed, sealed and chained as a device does it.
 */
import { randomFillSync } from 'node:crypto'
import { MemoryLevel } from 'memory-level'
import { bytesToHex, emptyBytes, hexToBytes } from '../src/core/bytes.ts'
import { foundMesh } from '../src/device/founding.ts'
import { MeshRuntime } from '../src/device/mesh-runtime.ts'
import { epochChange, membershipChange } from '../src/device/own-membership.ts'
import { registerWithServer } from '../src/device/server-registration.ts'
import { systemClock, systemRandom, systemTimers } from '../src/device/system.ts'
import { writeCommits } from '../src/feed/author.ts'
import { FeedChain, startPlace } from '../src/feed/chain.ts'
import type { StoredCommit } from '../src/feed/commit-store.ts'
import { createDescriptor } from '../src/feed/descriptor.ts'
import type { FeedDescriptor } from '../src/feed/descriptor.ts'
import { issueCertificate } from '../src/identity/certificate.ts'
import type { Certificate } from '../src/identity/certificate.ts'
import { DeviceKeys } from '../src/identity/device-key.ts'
import { openLevelStore } from '../src/store/level-store.ts'

export interface Member {
  readonly keys: DeviceKeys
  readonly chain: readonly Certificate[]
}

/** A feed with all of its commits. */
export interface MadeFeed {
  readonly descriptor: FeedDescriptor
  readonly chain: FeedChain
  readonly commits: readonly StoredCommit[]
}

export class MadeMesh {
  readonly runtime: MeshRuntime
  readonly founder: Member
  readonly members: readonly Member[]

  private constructor(runtime: MeshRuntime, founder: Member, members: readonly Member[]) {
    this.runtime = runtime
    this.founder = founder
    this.members = members
  }

  static async found(memberCount: number): Promise<MadeMesh> {
    const keys = DeviceKeys.generate(systemRandom)
    const nowMs = Date.now()
    const random = systemRandom
    const founded = foundMesh({ meshName: 'Benchmark', deviceName: '' }, keys, { nowMs, random })
    const { mesh, certificate } = founded
    const membership = {
      mesh,
      meshName: 'Benchmark',
      deviceName: '',
      chain: [certificate],
      complete: true,
      code: '',
    }
    const store = await openLevelStore({
      db: new MemoryLevel<Uint8Array, Uint8Array>(),
      storeKey: random.bytes(32),
    })
    await store.batch([
      membershipChange(membership),
      ...founded.keys.map(({ collection, key }) => epochChange(collection, key)),
    ])
    const runtime = await MeshRuntime.open({
      store,
      keys,
      membership,
      mark: undefined,
      clock: systemClock,
      random,
      timers: systemTimers,
      emit() {},
      storeFailed: fail,
      log: (level, code, message) => {
        if (level === 'error') fail(new Error(`${code}: ${message}`))
      },
    })
    const members = Array.from({ length: memberCount }, (): Member => {
      const own = DeviceKeys.generate(random)
      const { device, agreement } = own
      const subject = { mesh, device, agreementKey: agreement.publicKey, issuedAtMs: nowMs }
      const issued = issueCertificate({ ...subject, role: 'admin' }, keys.signing, random)
      return { keys: own, chain: [issued, certificate] }
    })
    await runtime.writeFacts([
      ...founded.facts,
      ...members.map(({ chain }) => ({ kind: 'certificate', certificate: chain[0]! }) as const),
    ])
    return new MadeMesh(runtime, { keys, chain: [certificate] }, members)
  }

  get id(): string {
    return this.runtime.control.meshId
  }

  /** The admin lets a server in. */
  async register(code: string): Promise<void> {
    await registerWithServer(this.runtime, code, { clock: systemClock, random: systemRandom })
  }

  /** What a member has written, each commit with so many bytes that do not compress, as they are once they are sealed. */
  feedOf(member: Member, { commits: count, bytes }: { commits: number; bytes: number }): MadeFeed {
    const { control } = this.runtime
    const collection = this.runtime.collectionId('records')
    const epoch = control.epochToWrite(collection)!
    const descriptor = createDescriptor(
      {
        mesh: control.mesh,
        collection: hexToBytes(collection),
        lane: 'routine',
        incarnation: systemRandom.bytes(16),
        previousIncarnation: emptyBytes,
        salt: systemRandom.bytes(8),
      },
      member.keys.signing,
    )
    const commits: StoredCommit[] = []
    let tip = startPlace
    let chain = new FeedChain(descriptor.feed)
    while (commits.length < count) {
      const payload = randomFillSync(new Uint8Array(bytes))
      const written = writeCommits(
        {
          descriptor,
          tip,
          lastDay: 0,
          epoch: hexToBytes(epoch.epoch),
          epochKey: epoch.key,
          key: member.keys.signing,
          nowMs: Date.now(),
          random: systemRandom,
        },
        1,
        payload,
      )
      for (const commit of written) {
        const id = bytesToHex(commit.id)
        chain = chain.with({ seq: commit.seq, id, prev: tip.id }, commit.seq === 1 ? -1 : 0)
        tip = { seq: commit.seq, id }
        commits.push(commit)
      }
    }
    return { descriptor, chain, commits }
  }

  /** What the admin has written so far: who the members are. */
  async facts(): Promise<MadeFeed[]> {
    const { replica, store } = this.runtime
    return Promise.all(
      [...replica.chains()].map(async (chain) => ({
        descriptor: replica.descriptor(chain.feed)!,
        chain,
        commits: await store.commits({ feed: chain.feed, after: 0 }),
      })),
    )
  }
}

function fail(error: Error): never {
  throw error
}
