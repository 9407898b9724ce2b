import { HavenError } from '../../../src/core/errors.ts'
import type {
  BridgeStatus,
  Device,
  DeviceEvent,
  DeviceInfo,
  DeviceStatus,
  ImportSource,
  InviteOptions,
  JsonText,
  MeshInfo,
  RecordView,
  ServerStatus,
  WipeAnswer,
} from '../../../src/device/api.ts'

/** What a fake device was asked to do. */
interface Asked {
  invited: InviteOptions[]
  written: {
    collection: string
    id: string
    fields: [string, JsonText | undefined][]
    urgent: boolean
  }[]
  imported: { name: string; format: string; text: string }[]
  closed: number
}

export interface FakeDevice extends Device {
  asked: Asked
  emit(event: DeviceEvent): void
}

/** Stands in for a device where only what is around it is tested: it remembers what it was asked and answers from `parts`. */
export function fakeDevice(parts: Partial<Device> = {}): FakeDevice {
  const asked: Asked = { invited: [], written: [], imported: [], closed: 0 }
  const listeners = new Set<(event: DeviceEvent) => void>()
  const info: DeviceInfo = { id: 'd1'.repeat(32), name: 'triage', role: 'clinician' }
  const mesh: MeshInfo = { id: 'e2'.repeat(16), name: 'Camp North' }
  const close = async () => {
    asked.closed++
  }
  return {
    asked,
    dataDir: undefined,
    info,
    mesh,
    emit: (event) => {
      for (const listener of listeners) listener(event)
    },
    found: async ({ meshName, deviceName }) => ({
      mesh: { id: mesh.id, name: meshName },
      device: { id: info.id, name: deviceName ?? 'computer', role: 'admin' },
      recovery:
        'abandon ability able about above absent absorb abstract absurd abuse access accident',
    }),
    join: async () => ({ mesh, device: info }),
    recover: async () => ({ mesh, device: info }),
    up: async () => ({ addresses: [] }),
    schemas: async () => [],
    schema: async (collection) => ({ collection, version: 0, text: '{}' }),
    applySchema: async () => ({ collection: 'patients', version: 1, findings: [] }),
    pinSchema: async (collection, version) => ({
      collection,
      version: version ?? 0,
      pinned: version,
      versions: [],
    }),
    invite: async (options = {}) => {
      asked.invited.push(options)
      return {
        code: 'ABCDE-FGHJK',
        role: options.role ?? 'clinician',
        expires: '2026-11-22T10:42:00.000Z',
      }
    },
    invitationUsed: async () => info,
    import: async (sources, { onProgress } = {}) => {
      let records = 0
      for await (const source of sources) {
        const text = await textOf(source)
        records += text.split('\n').filter((line) => line !== '').length
        onProgress?.({ records, bytes: text.length })
        asked.imported.push({ name: source.name, format: source.format, text })
      }
      return {
        records,
        created: records,
        unchanged: 0,
        newerHere: 0,
        deletedHere: 0,
        commits: Math.min(1, records),
        rejected: [],
      }
    },
    async *export() {
      yield* ['{"a":1}', '{"a":2}']
    },
    list: async () => [{ id: 'Patient/1' }, { id: 'Patient/2' }],
    get: async (collection, id) => {
      if (id === 'Patient/1') return recordView({ collection, id })
      throw new HavenError('NOT_FOUND', 'There is no such record.')
    },
    set: async (collection, id, fields, { urgent = false } = {}) => {
      asked.written.push({ collection, id, fields: [...fields], urgent })
      return { id, commit: { feed: 'f3'.repeat(16), seq: 7 } }
    },
    delete: async (_collection, id) => ({ id, commit: { feed: 'f3'.repeat(16), seq: 8 } }),
    history: async (collection, id) => ({ id, collection, entries: [], more: false, unread: [] }),
    recordStatus: async (collection, id) => ({
      id,
      collection,
      holders: [],
      onServer: null,
      authors: [],
      unread: 0,
    }),
    safeToWipe: async ({ holders = 2 } = {}) => wipeAnswer({ needed: holders }),
    cancelRetirement: async () => true,
    addServer: async () => serverStatus,
    allowServer: async () => bridgeStatus,
    pauseBridge: async (paused) => ({ ...bridgeStatus, paused }),
    setBridgeBudget: async () => bridgeStatus,
    bridgeStatus: async () => bridgeStatus,
    status: async () => statusOf({ device: info, mesh }),
    site: async () => ({ device: info, site: null }),
    setSite: async (site) => ({ device: info, site }),
    coverage: () => Promise.reject(new Error('not part of this fake')),
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    doc: () => Promise.reject(new Error('not part of this fake')),
    record: () => Promise.reject(new Error('not part of this fake')),
    write: () => Promise.reject(new Error('not part of this fake')),
    link: async (_collection, ids) => ({ ids, commit: null, links: [] }),
    unlink: async (_collection, ids) => ({ ids, commit: null, links: [] }),
    compare: () => Promise.reject(new Error('not part of this fake')),
    conflicts: async () => [],
    resolve: async (_collection, id) => ({ id, commit: { feed: 'f3'.repeat(16), seq: 9 } }),
    close,
    [Symbol.asyncDispose]: close,
    ...parts,
  }
}

export function wipeAnswer(parts: Partial<WipeAnswer> = {}): WipeAnswer {
  return {
    safe: true,
    asOf: '2026-11-22T10:30:00.000Z',
    needed: 2,
    devices: [],
    lost: [],
    lostEpochs: [],
    ...parts,
  }
}

export function recordView(parts: Partial<RecordView> = {}): RecordView {
  return {
    id: 'Patient/1',
    collection: 'patients',
    fields: new Map([['gender', '"female"']]),
    conflicts: new Map(),
    kept: new Map(),
    deleted: false,
    resurrected: false,
    links: [],
    version: 'AQA',
    ...parts,
  }
}

export function statusOf(parts: Partial<DeviceStatus> = {}): DeviceStatus {
  return {
    device: { id: 'd1'.repeat(32), name: 'triage', role: 'clinician' },
    site: null,
    mesh: { id: 'e2'.repeat(16), name: 'Camp North' },
    peers: [],
    collections: {},
    clock: { feeds: 0, commits: 0, digest: '00'.repeat(16) },
    notices: [],
    running: true,
    addresses: [],
    ...parts,
  }
}

async function textOf({ chunks }: ImportSource): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}

const serverStatus: ServerStatus = {
  device: { id: 'c5'.repeat(32), name: 'haven.example.org', role: 'server' },
  addresses: ['https://haven.example.org'],
  allowed: true,
  state: 'connected',
  carrier: 'websocket',
  since: '2026-11-22T10:32:00.000Z',
  nextTry: null,
  problem: null,
  lost: null,
  behind: 0,
  ahead: 12,
  lastSeen: '2026-11-22T10:32:00.000Z',
  waiting: null,
}

const bridgeStatus: BridgeStatus = {
  mayBridge: true,
  paused: false,
  running: true,
  budget: null,
  carried: { day: 0, month: 0 },
  servers: [serverStatus],
}
