/** What a server has to say about itself in numbers. Meshes are named by their ids, devices not at all. */
import type { Metric } from '../observe/metrics.ts'
import type { ServedMesh } from './served-mesh.ts'

export interface Counted {
  /** Connections, those of strangers included. */
  readonly connections: number
  /** How many were turned away, in plain requests too, by error code. */
  readonly refusals: ReadonlyMap<string, number>
  /** Questions in plain requests that were answered since the start. */
  readonly answered: number
}

export function serverMetrics(meshes: Iterable<ServedMesh>, counted: Counted): Metric[] {
  const all = [...meshes]
  const ofEach = (value: (mesh: ServedMesh) => number) =>
    all.map((mesh) => ({ labels: { mesh: mesh.mesh }, value: value(mesh) }))
  return [
    {
      name: 'haven_meshes',
      help: 'Meshes that are registered.',
      type: 'gauge',
      values: [{ value: all.length }],
    },
    {
      name: 'haven_mesh_up',
      help: 'Whether a mesh is served: 0 when its disk is full or fails.',
      type: 'gauge',
      values: ofEach(({ failure }) => (failure === undefined ? 1 : 0)),
    },
    {
      name: 'haven_sessions',
      help: 'Devices that are connected.',
      type: 'gauge',
      values: ofEach(({ sessionCount }) => sessionCount),
    },
    {
      name: 'haven_stored_commits',
      help: 'Commits that are held.',
      type: 'gauge',
      values: ofEach(({ usage }) => usage?.total.commits ?? 0),
    },
    {
      name: 'haven_stored_bytes',
      help: 'Bytes of these commits.',
      type: 'gauge',
      values: ofEach(({ usage }) => usage?.total.bytes ?? 0),
    },
    {
      name: 'haven_quota_bytes',
      help: 'How many bytes of commits a mesh may have.',
      type: 'gauge',
      values: ofEach(({ quotaBytes }) => quotaBytes),
    },
    {
      name: 'haven_received_bytes_total',
      help: 'Bytes that devices have sent since the start.',
      type: 'counter',
      values: ofEach(({ receivedBytes }) => receivedBytes),
    },
    {
      name: 'haven_connections',
      help: 'Connections, those that have not proved a device included.',
      type: 'gauge',
      values: [{ value: counted.connections }],
    },
    {
      name: 'haven_exchanges_total',
      help: 'Questions in plain requests that were answered since the start.',
      type: 'counter',
      values: [{ value: counted.answered }],
    },
    {
      name: 'haven_refused_total',
      help: 'Connections and questions that were turned away since the start, by error code.',
      type: 'counter',
      values: [...counted.refusals].map(([code, value]) => ({ labels: { code }, value })),
    },
    {
      name: 'process_resident_memory_bytes',
      help: 'Memory of the process.',
      type: 'gauge',
      values: [{ value: process.memoryUsage.rss() }],
    },
    {
      name: 'process_start_time_seconds',
      help: 'When the process started, in seconds since 1970.',
      type: 'gauge',
      values: [{ value: Math.round(performance.timeOrigin / 1000) }],
    },
  ]
}
