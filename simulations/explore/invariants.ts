/** What must hold in every run, whatever happens in it: looked at after each event, and once more when all has healed and become quiet. */
import { bytesToHex } from '../../src/core/bytes.ts'
import { carriesOnly } from '../../src/identity/certificate.ts'
import type { FullDevice } from '../full/full-device.ts'
import { valueMarker } from '../full/full-run.ts'
import type { FullRun } from '../full/full-run.ts'
import type { Schedule } from '../schedule.ts'

export class InvariantError extends Error {
  readonly invariant: string

  constructor(invariant: string, details: string) {
    super(`${invariant}: ${details}`)
    this.name = 'InvariantError'
    this.invariant = invariant
  }
}

/** An engine that has no peer has nothing to say: more than this would be a leak. */
const outboxMax = 4_096

/** @throws InvariantError */
export function checkAtRest(run: FullRun): void {
  for (const device of run.devices) {
    const [failure] = device.failures
    if (failure !== undefined) throw new InvariantError('no unexpected error', failure)
    const { runtime } = device
    if (runtime === undefined) continue
    for (const session of runtime.driver.engine.sessions()) {
      if (session.outbox.length > outboxMax)
        throw new InvariantError('bounded memory', `${device.spec.name} queues without end`)
      if (session.complete) checkComplete(run, device, session.device!)
    }
  }
}

/** Who says that nothing is missing between it and its peer is right: all that it holds durably is at the other's disk. */
function checkComplete(run: FullRun, device: FullDevice, peer: string): void {
  const other = run.devices.find(({ id }) => id === peer)
  // Of a peer that was stopped or put back meanwhile nobody can know until the link ends.
  if (other?.runtime?.driver.engine.sessionWith(device.id)?.state !== 'open') return
  const [index, otherIndex] = [run.devices.indexOf(device), run.devices.indexOf(other)]
  if (run.faults.goneBack.has(otherIndex) || run.faults.areMisled(index, otherIndex)) return
  for (const chain of device.runtime!.replica.chains()) {
    const there = other.disk.chains.has(chain.feed)
    if (!there)
      throw new InvariantError(
        'status never lies',
        `${device.spec.name} says complete, ${other.spec.name} lacks a feed of it`,
      )
    const rows = other.disk.commits.get(chain.feed) ?? []
    const held = new Set(rows.map(({ id }) => bytesToHex(id)))
    for (const { id } of chain.tips())
      if (!held.has(id))
        throw new InvariantError(
          'status never lies',
          `${device.spec.name} says complete, ${other.spec.name} lacks commits of it`,
        )
  }
}

/** After everything has healed and become quiet. @throws InvariantError */
export async function checkHealed(run: FullRun, schedule: Schedule): Promise<void> {
  const devices = run.devices.filter((_, index) => !run.faults.lost.has(index))
  for (const { spec, runtime } of devices)
    if (runtime === undefined)
      throw new InvariantError('devices come back', `${spec.name} does not run`)
  checkSame(devices, 'clocks', ({ runtime }) => runtime!.replica.digest)
  const readers = devices.filter(({ runtime }) => !carriesOnly(ownCertificate(runtime!)))
  const hashes = new Map<FullDevice, string>()
  for (const device of readers) hashes.set(device, await contentHash(device))
  checkSame(readers, 'content', (device) => hashes.get(device)!)
  checkWrites(run, devices)
  checkForks(run, schedule)
  for (const device of devices) {
    checkIncomplete(device)
    if (!readers.includes(device)) checkCarrier(device)
  }
}

function ownCertificate(runtime: NonNullable<FullDevice['runtime']>) {
  return runtime.control.certificateOf(runtime.control.device)!
}

async function contentHash({ runtime }: FullDevice): Promise<string> {
  await runtime!.integrator.idle()
  const collection = await runtime!.integrator.collection(runtime!.collectionId('records'))
  return collection.contentHash
}

function checkSame(
  devices: readonly FullDevice[],
  what: string,
  of: (device: FullDevice) => string,
): void {
  const [first, ...others] = devices
  for (const other of others) {
    if (of(other) !== of(first!))
      throw new InvariantError(
        'all are equal in the end',
        `${what} of ${first!.spec.name} and ${other.spec.name} differ`,
      )
  }
}

/** A write that was acknowledged is everywhere, unless its device is gone, or was put back to before it, before anybody else had it. */
function checkWrites(run: FullRun, devices: readonly FullDevice[]): void {
  for (const write of run.acknowledged) {
    const lacking = devices.filter((device) => !run.holds(device, write))
    if (lacking.length === 0) continue
    const mayBeGone =
      run.holdersOf(write.message) === 1 &&
      (run.faults.lost.has(write.device) || run.faults.goneBack.has(write.device))
    if (!mayBeGone)
      throw new InvariantError(
        'no acknowledged write is lost',
        `${write.message} of ${run.devices[write.device]!.spec.name} is not at ${lacking.map(({ spec }) => spec.name).join(', ')}`,
      )
  }
}

function checkForks(run: FullRun, { faults }: Schedule): void {
  const put = new Set(
    faults.flatMap(({ kind, device }) => (kind === 'restore' ? [run.devices[device]!.id] : [])),
  )
  for (const { runtime, spec } of run.devices) {
    for (const chain of runtime?.replica.chains() ?? []) {
      const author = bytesToHex(runtime!.replica.descriptor(chain.feed)!.device)
      if (chain.forked && !put.has(author))
        throw new InvariantError(
          'feeds fork only when a machine was put back',
          `${spec.name} holds a fork of another's feed`,
        )
    }
  }
}

function checkIncomplete({ runtime, spec }: FullDevice): void {
  for (const session of runtime!.driver.engine.sessions()) {
    if (!session.complete)
      throw new InvariantError(
        'complete when nothing is missing',
        `${spec.name} says ${session.state}, behind ${session.behind}, ahead ${session.ahead}`,
      )
  }
}

function checkCarrier({ disk, spec }: FullDevice): void {
  const marker = Buffer.from(valueMarker)
  const rows = [
    ...disk.metas.values(),
    ...disk.secrets.values(),
    ...[...disk.records.values()].flatMap((map) => [...map.values()]),
    ...[...disk.commits.values()].flat().map(({ ciphertext }) => ciphertext),
  ]
  if (rows.some((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength).includes(marker)))
    throw new InvariantError('a carrier reads nothing', `${spec.name} has a value in the clear`)
}
