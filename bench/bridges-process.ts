/** Many bridges in one process, so that what is measured is the server and not they. */
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeServerInvitation } from '../src/bridge/server-invitation.ts'
import type { ServerKeys } from '../src/bridge/inner-channel.ts'
import { answer, monotonicMs } from './child.ts'
import { LightBridge } from './light-bridge.ts'
import { MadeMesh, type MadeFeed } from './made-mesh.ts'

const meshes: MadeMesh[] = []
const bridges: LightBridge[] = []
let server: ServerKeys | undefined

const commands = {
  /** Makes a mesh, registers it with the code, and resolves with its id. */
  async found({ members, code }: { members: number; code: string }): Promise<string> {
    const invitation = decodeServerInvitation(code)
    server = invitation.server
    const mesh = await MadeMesh.found(members)
    await mesh.register(code)
    meshes.push(mesh)
    // Who the members are is known to the server before they bring anything.
    await bring(mesh, await mesh.facts(), invitation.address)
    return mesh.id
  },

  /** Makes a bridge of the first member of each mesh, which carries feeds of all members; resolves with the number of all commits. */
  async load(feed: { commits: number; bytes: number }): Promise<number> {
    let count = 0
    for (const mesh of meshes) {
      const written = mesh.members.map((member) => mesh.feedOf(member, feed))
      const feeds = [...(await mesh.facts()), ...written]
      bridges.push(new LightBridge(mesh, mesh.members[0]!, feeds))
      for (const { commits } of feeds) count += commits.length
    }
    return count
  },

  /** Every member of each mesh has written something that all have, the server too, and becomes a bridge; resolves with their number. */
  async join(address: string): Promise<number> {
    for (const mesh of meshes) {
      const written = mesh.members.map((member) => mesh.feedOf(member, { commits: 1, bytes: 200 }))
      const feeds = [...(await mesh.facts()), ...written]
      await bring(mesh, feeds, address)
      for (const member of mesh.members) bridges.push(new LightBridge(mesh, member, feeds))
    }
    return bridges.length
  },

  /** Connects all of them, taking turns with the addresses; resolves with the time when it began. */
  async connect(addresses: string[]): Promise<number> {
    const beganMs = monotonicMs()
    for (let first = 0; first < bridges.length; first += atOnce) {
      await Promise.all(
        bridges
          .slice(first, first + atOnce)
          .map((bridge, index) =>
            bridge.connect(addresses[(first + index) % addresses.length]!, server!),
          ),
      )
    }
    return beganMs
  },

  /** Resolves with the time when the server had told the last one that it holds everything durably. */
  async untilComplete(): Promise<number> {
    return untilComplete(bridges)
  },

  /** Milliseconds of processor time, all threads. */
  async cpu(): Promise<number> {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },
}

export type BridgesCommands = typeof commands

answer(commands)

async function bring(mesh: MadeMesh, feeds: readonly MadeFeed[], address: string): Promise<void> {
  const bridge = new LightBridge(mesh, mesh.founder, feeds)
  await bridge.connect(address, server!)
  await untilComplete([bridge])
  await bridge.close()
}

async function untilComplete(some: readonly LightBridge[]): Promise<number> {
  const deadlineMs = monotonicMs() + deadlineAfterMs
  while (!some.every((bridge) => bridge.isComplete)) {
    if (monotonicMs() > deadlineMs) throw new Error('The bridges did not get everything across.')
    await sleep(2)
  }
  return monotonicMs()
}

/** As many dials as can hardly time out on a busy machine. */
const atOnce = 25
const deadlineAfterMs = 3 * 60_000
