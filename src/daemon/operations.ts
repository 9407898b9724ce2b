/**
 * The operations of a running device, as the local socket offers them. Each has one entry here; the client and the server are
 * made from the table.
 *
 * To add one: its method in {@link DeviceOperations} (src/device/api.ts), what does it in src/device/, and its entry.
 */
import type {
  BudgetSetting,
  ConflictsOptions,
  CoverageOptions,
  DeviceOperations,
  HistoryOptions,
  ImportOptions,
  InviteOptions,
  LinkOptions,
  RecordChange,
  Resolution,
  ResolveOptions,
  WipeOptions,
  WriteOptions,
} from '../device/api.ts'
import {
  boolean,
  listOf,
  malformed,
  number,
  object,
  oneOf,
  options,
  optional,
  orNull,
  pairsOf,
  type Shape,
  tagged,
  text,
} from './shapes.ts'

export type Method = keyof DeviceOperations

/**
 * - `call`: one answer
 * - `items`: a stream of answers, read no faster than they are taken
 * - `import`: files go to the device, its progress comes back, and one answer at the end
 */
export type Operation = CallOperation | UploadOperation

interface CallOperation {
  kind: 'call' | 'items'
  /** One for each argument, in their order. */
  args: readonly Shape<unknown>[]
}

interface UploadOperation {
  kind: 'import'
  args: readonly Shape<unknown>[]
}

type ShapesOf<A extends readonly unknown[]> = { [K in keyof A]-?: Shape<A[K]> }

type OperationOf<M extends Method> = M extends 'import'
  ? UploadOperation
  : {
      kind: ReturnType<DeviceOperations[M]> extends AsyncIterable<unknown> ? 'items' : 'call'
      args: ShapesOf<Parameters<DeviceOperations[M]>>
    }

const writeOptions = optional(options<WriteOptions>({ urgent: boolean, seen: text }))

const linkOptions = optional(options<LinkOptions>({ urgent: boolean }))

const change: Shape<RecordChange> = tagged('op', {
  put: { field: text, value: optional(text), from: optional(text) },
  text: { field: text, at: number, remove: optional(number), insert: optional(text) },
  add: { field: text, value: text },
  remove: { field: text, value: text },
  count: { field: text, delta: number },
  keep: { field: text, values: listOf(text) },
  delete: {},
  restore: {},
})

const budget: Shape<BudgetSetting> = (value) => {
  const { bytes, per, urgentBytes } = object(value)
  return {
    bytes: number(bytes),
    per: oneOf('day', 'month')(per),
    urgentBytes: number(urgentBytes),
  }
}

const resolution: Shape<Resolution> = (value) => {
  const { keep, keepBoth, record, ...rest } = object(value)
  if (keep !== undefined) return { keep: number(keep) }
  if (keepBoth === true) return { keepBoth }
  if (record !== undefined) return { record: oneOf('keep', 'delete')(record) }
  if ('value' in rest) return { value: optional(text)(rest.value) }
  throw malformed()
}

export const operations: { [M in Method]: OperationOf<M> } = {
  invite: {
    kind: 'call',
    args: [
      optional(
        options<InviteOptions>({
          role: oneOf('admin', 'clinician', 'viewer', 'courier'),
          bridge: boolean,
          ttlMs: number,
        }),
      ),
    ],
  },
  import: {
    kind: 'import',
    args: [
      optional(options<ImportOptions>({ overwrite: boolean, restore: boolean, dryRun: boolean })),
    ],
  },
  export: { kind: 'items', args: [optional(text)] },
  list: { kind: 'call', args: [text] },
  get: { kind: 'call', args: [text, text] },
  set: { kind: 'call', args: [text, text, pairsOf(optional(text)), writeOptions] },
  delete: { kind: 'call', args: [text, text, writeOptions] },
  write: { kind: 'call', args: [text, text, listOf(change), writeOptions] },
  link: { kind: 'call', args: [text, listOf(text), linkOptions] },
  unlink: { kind: 'call', args: [text, listOf(text), linkOptions] },
  compare: { kind: 'call', args: [text, text, text] },
  conflicts: {
    kind: 'call',
    args: [
      optional(options<ConflictsOptions>({ collection: text, titles: boolean, bases: boolean })),
    ],
  },
  resolve: {
    kind: 'call',
    args: [
      text,
      text,
      orNull(text),
      resolution,
      optional(options<ResolveOptions>({ urgent: boolean, seen: text })),
    ],
  },
  history: {
    kind: 'call',
    args: [text, text, optional(options<HistoryOptions>({ limit: number }))],
  },
  schemas: { kind: 'call', args: [optional(text)] },
  schema: { kind: 'call', args: [text, optional(number)] },
  applySchema: { kind: 'call', args: [text, optional(options({ force: boolean }))] },
  pinSchema: { kind: 'call', args: [text, orNull(number)] },
  recordStatus: { kind: 'call', args: [text, text] },
  safeToWipe: {
    kind: 'call',
    args: [optional(options<WipeOptions>({ holders: number, waitMs: number }))],
  },
  cancelRetirement: { kind: 'call', args: [] },
  addServer: { kind: 'call', args: [text] },
  allowServer: { kind: 'call', args: [optional(text)] },
  pauseBridge: { kind: 'call', args: [boolean] },
  setBridgeBudget: {
    kind: 'call',
    args: [orNull(budget)],
  },
  bridgeStatus: { kind: 'call', args: [] },
  status: { kind: 'call', args: [] },
  site: { kind: 'call', args: [optional(text)] },
  setSite: { kind: 'call', args: [orNull(text), optional(text)] },
  coverage: {
    kind: 'call',
    args: [optional(options<CoverageOptions>({ from: text, apartMs: number }))],
  },
}
