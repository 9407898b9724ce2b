import * as Y from 'yjs'

import { hexToBytes } from '../../../src/core/bytes.ts'
import { writeCommits } from '../../../src/feed/author.ts'
import { startPlace } from '../../../src/feed/chain.ts'
import { createDescriptor, yjsClientId } from '../../../src/feed/descriptor.ts'
import type { FeedDescriptor } from '../../../src/feed/descriptor.ts'
import { FeedTable } from '../../../src/records/feed-table.ts'
import { encodePayload } from '../../../src/records/record-payload.ts'
import type { ContextEntry, RecordUpdate } from '../../../src/records/record-payload.ts'
import type { TestDevice } from './test-device.ts'

/** A member with keys and certificate who writes what no honest device would. */
export class Insider {
  readonly device: TestDevice
  readonly collection: string
  readonly descriptor: FeedDescriptor

  constructor(device: TestDevice) {
    this.device = device
    this.collection = device.runtime.collectionId('records')
    this.descriptor = createDescriptor(
      {
        mesh: hexToBytes(device.mesh.mesh),
        collection: hexToBytes(this.collection),
        lane: 'routine',
        incarnation: device.mesh.chance.bytes(16),
        previousIncarnation: new Uint8Array(0),
        salt: device.mesh.chance.bytes(8),
      },
      device.keys.signing,
    )
  }

  get client(): number {
    return yjsClientId(this.descriptor, 'fields')
  }

  /** Commits with these payloads, as somebody receives them. */
  async sendTo(victim: TestDevice, payloads: readonly Uint8Array[]): Promise<void> {
    const epoch = this.device.runtime.control.epochToWrite(this.collection)!
    let tip = startPlace
    const commits = payloads.flatMap((each) => {
      const written = writeCommits(
        {
          descriptor: this.descriptor,
          tip,
          lastDay: 0,
          epoch: hexToBytes(epoch.epoch),
          epochKey: epoch.key,
          key: this.device.keys.signing,
          nowMs: this.device.mesh.nowMs,
          random: this.device.mesh.chance,
        },
        1,
        each,
      )
      const last = written.at(-1)!
      tip = { seq: last.seq, id: Buffer.from(last.id).toString('hex') }
      return written
    })
    await victim.accept(commits, this.descriptor.bytes)
  }
}

export function payload(
  records: readonly RecordUpdate[],
  context: readonly ContextEntry[] = [],
): Uint8Array {
  const time = { ms: 2 ** 47, counter: 0 }
  return encodePayload({ time, schemaVersion: 0, actor: '', context, records }, FeedTable.empty)
}

/** The update that one client makes by pushing to an array. */
export function pushed(client: number, array: string, elements: unknown[]): Uint8Array {
  const doc = new Y.Doc()
  doc.clientID = client
  doc.getArray(array).push(elements)
  return Y.encodeStateAsUpdate(doc)
}
