/**
 * A network of its own for each device of a test: Linux network namespaces, joined by bridges that live in namespaces
 * too. The machine's own network is never touched. Needs root, iproute2 and, for rows, nothing more.
 *
 * Each host has `eth0` with 10.77.0.<number>; numbers start at 1, and so do the indices of all functions here.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'

interface NamespaceHost {
  /** On the network, e.g. `10.77.0.1`. */
  readonly ip: string
  readonly namespace: string
  /** Runs a program there; it is killed by `remove` at the latest. */
  exec(argv: readonly string[], options?: SpawnOptions): ChildProcess
}

export interface NamespaceNetwork {
  /** The first is number 1. */
  readonly hosts: readonly NamespaceHost[]
  host(number: number): NamespaceHost
  /** Pulls the cable out: all that there are, or the one of a segment (from 1). */
  cut(number: number, segment?: number): void
  /** Nothing gets through any more, and nobody is told: the interface stays up. */
  mute(number: number, segment: number): void
  /** After `cut` and `mute`. */
  heal(number: number, segment?: number): void
  /** What leaves this host, from now on, by all cables or by one: at most `kbit` per second; packets wait up to `latencyMs` in the queue. */
  shape(number: number, to: { kbit: number; latencyMs: number }, segment?: number): void
  /** Bytes that left and reached this host's interfaces since they were made, with all headers. */
  traffic(number: number): { sentBytes: number; receivedBytes: number }
  /** Kills what was started here, and nothing else, and takes the network away. */
  remove(): Promise<void>
}

export interface LanOptions {
  /** Whether hosts have a route to everywhere, as with a router; by default they don't. */
  defaultRoute?: boolean
  /** Whether hosts have a route for multicast; by default they don't. */
  multicastRoute?: boolean
}

let networkCount = 0

const ipProgram = 'ip'

/** Whether this process may make namespaces, and the tools are there. */
export function canUseNamespaces(): boolean {
  const probe = `hm${process.pid}probe`
  try {
    ip('netns', 'add', probe)
    ip('netns', 'del', probe)
    return true
  } catch {
    return false
  }
}

/** `count` hosts that all reach each other. */
export function createLan(count: number, options: LanOptions = {}): NamespaceNetwork {
  const hosts = numbers(count)
  return build(hosts, [hosts], options)
}

/**
 * Hosts in a row, each of which reaches its neighbours only: A–B–C. Those inside have an interface for each side, `eth0`
 * and `eth1`, and forward nothing.
 *
 * The link between host n and host n + 1 is 10.77.n.0/24, where a host has its number as the last byte.
 */
export function createRow(count: number, options: LanOptions = {}): NamespaceNetwork {
  const hosts = numbers(count)
  const segments = hosts.slice(0, -1).map((number) => [number, number + 1])
  return build(hosts, segments, options)
}

/**
 * Hosts on several networks. Segment n is 10.77.n.0/24, with the hosts that are listed as its members. A host has an interface for each of its
 * segments, `eth0`, `eth1`, …, in their order, and forwards nothing.
 *
 * @param segments - two or more, each the numbers of its hosts
 */
export function createSegments(
  segments: ReadonlyArray<readonly number[]>,
  options: LanOptions = {},
): NamespaceNetwork {
  return build(numbers(Math.max(...segments.flat())), segments, options)
}

function build(
  numbersOfHosts: readonly number[],
  segments: ReadonlyArray<readonly number[]>,
  { defaultRoute = false, multicastRoute = false }: LanOptions,
): NamespaceNetwork {
  const prefix = `hm${process.pid}n${++networkCount}`
  const bridges = `${prefix}br`
  const namespaceOf = (number: number): string => `${prefix}h${number}`
  const cables = new Map<number, Cable[]>(numbersOfHosts.map((number) => [number, []]))
  const children = new Set<ChildProcess>()

  const removeNamespaces = (): void => {
    for (const namespace of [...numbersOfHosts.map(namespaceOf), bridges]) {
      ignoringErrors(() => ip('netns', 'del', namespace))
    }
  }

  try {
    ip('netns', 'add', bridges)
    for (const number of numbersOfHosts) {
      ip('netns', 'add', namespaceOf(number))
      ip('-n', namespaceOf(number), 'link', 'set', 'lo', 'up')
    }
    for (const [index, segment] of segments.entries()) {
      const bridge = `br${index}`
      ip('-n', bridges, 'link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0')
      ip('-n', bridges, 'link', 'set', bridge, 'up')
      for (const number of segment) plugIn(number, bridge, index)
    }
  } catch (error) {
    removeNamespaces()
    throw error
  }

  function plugIn(number: number, bridge: string, segment: number): void {
    const plugged = cables.get(number) ?? []
    const cable = `v${number}s${segment}`
    const device = `eth${plugged.length}`
    const namespace = namespaceOf(number)
    const network = segments.length === 1 ? 0 : segment + 1
    ip(
      '-n',
      bridges,
      'link',
      'add',
      cable,
      'type',
      'veth',
      'peer',
      'name',
      device,
      'netns',
      namespace,
    )
    ip('-n', bridges, 'link', 'set', cable, 'master', bridge, 'up')
    ip('-n', namespace, 'addr', 'add', `10.77.${network}.${number}/24`, 'dev', device)
    ip('-n', namespace, 'link', 'set', device, 'up')
    if (plugged.length === 0 && multicastRoute) {
      ip('-n', namespace, 'route', 'add', '224.0.0.0/4', 'dev', device)
    }
    if (plugged.length === 0 && defaultRoute) {
      ip('-n', namespace, 'route', 'add', 'default', 'via', `10.77.${network}.254`, 'dev', device)
    }
    plugged.push({ cable, device, bridge, segment: segment + 1 })
  }

  const cablesOf = (number: number, segment: number | undefined): Cable[] =>
    (cables.get(number) ?? []).filter((cable) => segment === undefined || cable.segment === segment)

  const hosts = numbersOfHosts.map((number): NamespaceHost => {
    const namespace = namespaceOf(number)
    const last = segments.findLastIndex((members) => members.includes(number))
    const network = segments.length === 1 ? 0 : last + 1
    return {
      namespace,
      ip: `10.77.${network}.${number}`,
      exec(argv, options = {}) {
        const child = spawn(ipProgram, ['netns', 'exec', namespace, ...argv], options)
        children.add(child)
        child.once('exit', () => children.delete(child))
        return child
      },
    }
  })

  return {
    hosts,
    host(number) {
      const found = hosts[number - 1]
      if (found === undefined) throw new RangeError(`no host ${number}`)
      return found
    },
    cut(number, segment) {
      for (const { cable } of cablesOf(number, segment))
        ip('-n', bridges, 'link', 'set', cable, 'down')
    },
    mute(number, segment) {
      for (const { cable } of cablesOf(number, segment))
        ip('-n', bridges, 'link', 'set', cable, 'nomaster')
    },
    heal(number, segment) {
      for (const { cable, bridge } of cablesOf(number, segment))
        ip('-n', bridges, 'link', 'set', cable, 'master', bridge, 'up')
    },
    shape(number, { kbit, latencyMs }, segment) {
      const namespace = namespaceOf(number)
      for (const { device: name } of cablesOf(number, segment)) {
        const device = ['dev', name, 'root']
        const rate = ['rate', `${kbit}kbit`, 'burst', '16kb', 'latency', `${latencyMs}ms`]
        run(ipProgram, [
          'netns',
          'exec',
          namespace,
          'tc',
          'qdisc',
          'replace',
          ...device,
          'tbf',
          ...rate,
        ])
      }
    },
    traffic(number) {
      const links = JSON.parse(
        ip('-n', namespaceOf(number), '-s', '-j', 'link'),
      ) as LinkStatistics[]
      const outside = links.filter(({ ifname }) => ifname.startsWith('eth'))
      const sum = (way: 'tx' | 'rx'): number =>
        outside.reduce((bytes, { stats64 }) => bytes + stats64[way].bytes, 0)
      return { sentBytes: sum('tx'), receivedBytes: sum('rx') }
    },
    async remove() {
      await Promise.all([...children].map(killAndWait))
      removeNamespaces()
    },
  }
}

/** Between a host and the bridge of a segment. */
interface Cable {
  /** The end at the bridge. */
  readonly cable: string
  /** The end in the host. */
  readonly device: string
  readonly bridge: string
  readonly segment: number
}

interface LinkStatistics {
  ifname: string
  stats64: { tx: { bytes: number }; rx: { bytes: number } }
}

/** `ip netns exec` replaces itself by the program, so that its process is the program's. */
async function killAndWait(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const { promise, resolve } = Promise.withResolvers<void>()
  child.once('exit', () => resolve())
  child.kill('SIGKILL')
  await promise
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

function ip(...args: string[]): string {
  return run(ipProgram, args)
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function ignoringErrors(act: () => void): void {
  try {
    act()
  } catch {
    // Taking away what is not there any more.
  }
}
