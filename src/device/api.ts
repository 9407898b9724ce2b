/**
 * What a running device offers: to the command line, to the local socket, and to any TypeScript program.
 *
 * Ids are lower-case hex, times RFC 3339 in UTC with milliseconds, unknown is `null`. What a promise of a write reports is
 * durable. Every error is a {@link HavenError}.
 */
import type * as Y from 'yjs'

import type { ErrorCode } from '../core/errors.ts'
import type { SchemaFinding } from '../records/schema/schema-finding.ts'

export type RoleName = 'admin' | 'clinician' | 'viewer' | 'courier' | 'server'
/** IDLE: not connected; SYNCING: connected, one of us lacks something; COMPLETE: both clocks cover each other; ERROR: the last session failed. */
export type SyncState = 'IDLE' | 'SYNCING' | 'COMPLETE' | 'ERROR'

export interface DeviceRef {
  id: string
  name: string | null
}
export interface DeviceInfo extends DeviceRef {
  role: RoleName
}
export interface MeshInfo {
  id: string
  name: string | null
}
export interface MembershipResult {
  mesh: MeshInfo
  device: DeviceInfo
}

export interface FoundOptions {
  meshName: string
  deviceName?: string | undefined
  /** Where this device is used, such as the name of its camp. */
  site?: string | undefined
}
export interface UpOptions {
  /** Multiaddrs; default `/ip4/0.0.0.0/tcp/0`. */
  listen?: string[] | undefined
  /** Typed addresses that are dialled again and again. */
  peers?: string[] | undefined
  mdns?: boolean | undefined
  /** `auto`: while it is up, every server of the mesh may be used without being allowed. */
  bridge?: 'auto' | undefined
}
export interface InviteOptions {
  role?: Exclude<RoleName, 'server'> | undefined
  /** May hand everything over to the mesh's servers; admins may anyway. */
  bridge?: boolean | undefined
  ttlMs?: number | undefined
}
export interface Invitation {
  code: string
  role: RoleName
  expires: string
}
export interface JoinOptions {
  deviceName?: string | undefined
  /** Where this device is used; one that only carries can't say it, and leaves it out. */
  site?: string | undefined
  signal?: AbortSignal | undefined
}
export interface RecoverOptions {
  words: string
  deviceName?: string | undefined
  peers?: string[] | undefined
  signal?: AbortSignal | undefined
}

/** One file or stream to import. */
export interface ImportSource {
  /** Shown in rejections: a path, or `-`. */
  name: string
  /** `ndjson`: a resource a line; `json`: a Bundle or a single resource. */
  format: 'ndjson' | 'json'
  chunks: AsyncIterable<Uint8Array>
}
export interface Rejection {
  source: string
  line: number
  code: ErrorCode
  message: string
}
/** A file says how things were when it was made: what was written here since stays, unless it says otherwise. */
export interface ImportOptions {
  /** The file's values replace those that are here, whichever is newer. */
  overwrite?: boolean | undefined
  /** Records that were deleted here come back. */
  restore?: boolean | undefined
  /** Nothing is written: the result tells what would be. */
  dryRun?: boolean | undefined
}
export interface ImportResult {
  /** Written: new ones, and those that changed, at least in part. */
  records: number
  /** Of these, those that were not there. */
  created: number
  unchanged: number
  /** Of these records something stays as it is here: the file is not known to be newer. */
  newerHere: number
  /** They were deleted here, and stay so. */
  deletedHere: number
  commits: number
  rejected: Rejection[]
}
export interface ImportProgress {
  records: number
  bytes: number
}

export interface WriteResult {
  id: string
  /** Null: it was so already, and nothing was written. */
  commit: { feed: string; seq: number } | null
}
/** A JSON value as its text: number lexemes are kept. */
export type JsonText = string
export interface ConflictValue {
  /** `undefined`: this device removed the field. */
  value: JsonText | undefined
  device: DeviceRef
  time: string
}
export interface RecordView {
  id: string
  collection: string
  /** What the strategy of each field makes of its live writes; where a person has to decide, the greatest by the total order. */
  fields: Map<string, JsonText>
  /** All live values of each field that has several which were not settled, greatest first. */
  conflicts: Map<string, ConflictValue[]>
  /** Fields whose several values were settled by keeping all, the shown one first. */
  kept: Map<string, JsonText[]>
  deleted: boolean
  /** A deletion that did not see an edit was overruled by it. */
  resurrected: boolean
  /** All records that this one is linked with as the same, directly or through others, sorted by id. */
  links: RecordLink[]
  /** Which writes this shows: to be handed in as `seen`, or compared. */
  version: RecordVersionToken
}
export interface RecordLink {
  id: string
  /** `missing`: nothing but the link has arrived yet. */
  state: 'present' | 'deleted' | 'missing'
  /** Those of the group that `link` linked it with directly, sorted. */
  linkedWith: string[]
}
export interface LinkOptions {
  /** Travels ahead of everything else. */
  urgent?: boolean | undefined
}
export interface LinkResult {
  ids: string[]
  /** Null: it was so already, and nothing was written. */
  commit: { feed: string; seq: number } | null
  /** Those that the first is linked with now, directly or through others. */
  links: RecordLink[]
}
/** Opaque text. */
export type RecordVersionToken = string
/** What is to be done to a record. Values are JSON texts; absent: the field is removed. */
export type RecordChange =
  /**
   * Into a text or a set, only what differs is written, so that what others write there meanwhile stays. `from`: what its author had before
   * them, where that may be older than what the record shows now. Without it, a text or a set that was written since `seen` is refused.
   */
  | { op: 'put'; field: string; value: JsonText | undefined; from?: JsonText | undefined }
  /** Of a text some letters, in UTF-16 code units: first removed, then inserted. */
  | {
      op: 'text'
      field: string
      at: number
      remove?: number | undefined
      insert?: string | undefined
    }
  /** An element of a set. */
  | { op: 'add' | 'remove'; field: string; value: JsonText }
  /** By a whole number, which adds up with what others count meanwhile. */
  | { op: 'count'; field: string; delta: number }
  /** Several values that hold together. */
  | { op: 'keep'; field: string; values: JsonText[] }
  /** The record. A restoration takes back the deletions that it knows of. */
  | { op: 'delete' | 'restore' }
export interface WriteOptions {
  /** Travels ahead of everything else. */
  urgent?: boolean | undefined
  /** What the changes were decided on: what came after it is not replaced, but stands beside them. Default: what this device shows now. */
  seen?: RecordVersionToken | undefined
}

/** Something that was written in several ways, by people who had not seen each other's. */
export interface Conflict {
  collection: string
  id: string
  /** Null: the record as a whole, which somebody deleted who had not seen a change of it. */
  field: string | null
  /** What people call the record, where that was asked for and it says so. */
  title: string | null
  /** `schema`: what is there can't be shown by the schema that this device knows. */
  kind: 'update-update' | 'delete-update' | 'schema'
  /** `open`: a person has to decide; `review`: decided by the rule of the field, and to be looked at. */
  state: 'open' | 'review'
  rank: 'critical' | 'high' | 'normal' | 'low'
  /** The greatest by the total order, which `get` shows, first; of a record the deletions. */
  values: ListedValue[]
  /** What all of them replaced; null: nothing, or not known, or not asked for. */
  base: JsonText | null
  /** Of a record: what those who deleted it had not seen. Without field and time: letters of a text, or another shared type. */
  changes?: { field: string | null; device: DeviceRef; time: string | null }[]
  /** Of kind `schema`: a sentence. */
  problem?: string
  /** To be handed in when it is resolved: another one when there is something else to decide on. */
  seen: string
}
export interface ListedValue extends ConflictValue {
  /** From 1. */
  n: number
  /** The value is a list of several that somebody kept: they hold together. */
  together: boolean
  /** Who wrote, where the device said so. */
  actor: string | null
  /** The clock of the device was visibly wrong: others knew of something later, or its time is yet to come. */
  clockOff: boolean
}
export interface ConflictsOptions {
  collection?: string | undefined
  /** With titles; they cost another look at records. */
  titles?: boolean | undefined
  /** With the bases, of the fifty gravest: only the history of a record has them, and each costs a look at older commits. */
  bases?: boolean | undefined
}
export type Resolution =
  /** The value of this number. */
  | { keep: number }
  /** Undefined: the field is removed. */
  | { value: JsonText | undefined }
  /** All values: lists become one list, others stand together. */
  | { keepBoth: true }
  /** Of a record. */
  | { record: 'keep' | 'delete' }
export interface ResolveOptions {
  urgent?: boolean | undefined
  /** The conflict's `seen`: another conflict is refused. */
  seen?: string | undefined
}

export interface HistoryOptions {
  /** At most so many entries; default: all. */
  limit?: number | undefined
}
/** Every write of a record that this device holds, the newest first: none comes before one that had seen it. */
export interface RecordHistory {
  id: string
  collection: string
  entries: HistoryEntry[]
  /** There are older ones. */
  more: boolean
  /** What this device holds and can't read (yet): it may hold more of this record. */
  unread: UnreadCommits[]
}
export interface HistoryEntry {
  device: DeviceRef
  /** Who wrote, where the device said so. */
  actor: string | null
  time: string
  /** The clock of the device was visibly wrong: it had seen something later, or its time is yet to come. */
  clockOff: boolean
  commit: { feed: string; seq: number }
  /** Null: the record as a whole, or something whose place is not known here. */
  field: string | null
  /**
   * `put`, `delete` and so on; `text`: letters were typed or taken away; `edit`: another free type; `link`, `unlink`: with the record whose id is the value;
   * `refused`: nobody knows what it would have been.
   */
  op: string
  /** Of `count`: what was added. Undefined: none, the field was removed. */
  value: JsonText | undefined
  /** What it took the place of: what was live in its causal past, as its author saw it. */
  before: HistoryValue[]
  /** Of `text`. */
  text: { inserted: string[]; deleted: number } | null
  /** How far its author knew the other feeds that ever wrote this record. */
  seen: { device: DeviceRef; feed: string; seq: number }[]
  /** It does not count, since its author was removed before, or may not write. */
  hidden: boolean
  /** Why it was not accepted, and changed nothing. */
  refused: string | null
  /** Letters that stand beside others that have not arrived here: they are not shown yet. */
  waits: boolean
}
export interface HistoryValue {
  op: string
  /** Where it has another name than that of the entry: in another version of the schema. */
  field?: string
  /** Where that is another one than that of the entry: the value is meant by its rules. 0: the built-in one. */
  schemaVersion?: number
  value: JsonText | undefined
  device: DeviceRef
  time: string
  commit: { feed: string; seq: number }
}
export interface UnreadCommits {
  device: DeviceRef
  feed: string
  commits: number
  /** `key`: this device lacks the key; `damaged`: they are being asked for again. */
  reason: 'key' | 'damaged'
}

/** How safe a record is, and how fresh: by what other devices were last heard to hold. */
export interface RecordStatus {
  id: string
  collection: string
  /** All other members. */
  holders: RecordHolder[]
  /** Whether a server holds all of it; null: the mesh has none. */
  onServer: boolean | null
  /** All other members that may write in the collection. */
  authors: KnownAuthor[]
  /** Commits of the collection that are held here and can't be read (yet): they may hold more of this record. */
  unread: number
}
export interface RecordHolder {
  device: DeviceInfo
  /** Whether it holds all of the record that is here, durably; null: it was not heard, or it holds more than this device can check. */
  holds: boolean | null
  /** A time at which it held it already, by its own clock, or by ours where it told us itself. It may have held it before. */
  since: string | null
  /** When it was last heard to say what it holds. */
  heard: string | null
  /** `since` can't be right. */
  clockOff: boolean
  /** It is to be wiped. */
  retiring: boolean
}
export interface KnownAuthor {
  device: DeviceInfo
  /** All that it had written in the collection until then is part of the records here; null: nothing is known of that. By its own clock, or ours. */
  until: string | null
  /** `until` can't be right. */
  clockOff: boolean
}

/** A version of the schema of a collection. */
export interface SchemaVersion {
  version: number
  /** Null: it is the built-in one. */
  since: string | null
  /** The admin's device. */
  by: DeviceRef | null
  /** `superseded`: another admin had announced the same version before; `not-understood`: of a newer program, or a version between is lacking. */
  state: 'known' | 'superseded' | 'not-understood'
}
export interface CollectionSchemas {
  collection: string
  /** That this device reads and writes records by. */
  version: number
  /** Chosen for this device; null: it goes with the newest. */
  pinned: number | null
  versions: SchemaVersion[]
}
export interface SchemaText {
  collection: string
  /** 0: the built-in one. */
  version: number
  /** JSON, as it was applied. */
  text: string
}
export type { SchemaFinding }
export interface AppliedSchema {
  collection: string
  version: number
  /** What {@link SchemaFinding} says against the one before: only what could not keep it from being applied. */
  findings: SchemaFinding[]
}

export interface WipeOptions {
  /** So many other devices have to hold what no server holds; default: 2. */
  holders?: number | undefined
  /** Waits so long for others to say that they hold it. */
  waitMs?: number | undefined
}
export interface WipeAnswer {
  /** Nothing would be lost that this device holds. */
  safe: boolean
  /** The oldest of the words that this rests upon, by the clocks of those who said them; null: nobody has said anything. */
  asOf: string | null
  /** As asked. */
  needed: number
  /** All other members. */
  devices: WipeHolder[]
  /** What is not known to be held by a server, or by as many others as were asked for. Empty while they have it all and only have to say that they know. */
  lost: WipeLoss[]
  /** Keys that nobody else is known to have: what is sealed under them could not be read any more. */
  lostEpochs: { collection: string | null; epoch: string }[]
}
export interface WipeHolder {
  device: DeviceInfo
  /**
   * `holds`: all of it, and it knows that this device goes. `unaware`: all of it, but it has not said that it knows. `unsure`: it may go as
   * well, since it holds control facts that are not here. `lacks`: some of it. `retiring`: it is to be wiped itself. `unheard`: it has said nothing.
   */
  state: 'holds' | 'unaware' | 'unsure' | 'lacks' | 'retiring' | 'unheard'
  /** Commits held here that it is not known to hold; null: it was not heard. */
  lacks: number | null
  /** It has said that it can read all that this device can. */
  reads: boolean
  /** When it was last heard to say what it holds. */
  heard: string | null
}
export interface WipeLoss {
  /** Null: members, keys and the like. */
  collection: string | null
  commits: number
  /** That these commits touched; null where they can't be read here. */
  records: number | null
  /** Who else holds some of these commits: too few, or about to go. */
  heldBy: { device: DeviceInfo; commits: number }[]
}

/** Where a device is used, such as the name of its camp. */
export interface DeviceSite {
  device: DeviceInfo
  /** Null: nobody has said, or this device can't read it. */
  site: string | null
}

export interface CoverageOptions {
  /** Only pairs in which this site wrote: its name, that of a device without a site, or the beginning of a device's id. */
  from?: string | undefined
  /** Sites that have had no news of each other for so long are groups apart; default: a day. */
  apartMs?: number | undefined
}
/** What each site was last known to hold of what the others wrote, as far as it is known on one device. Form: docs/schemas/coverage.json. */
export interface Coverage {
  version: 1
  /** When this was so, by the clock of this device. */
  time: string
  /** On which it is known. */
  device: DeviceInfo
  /** Id of its site. */
  site: string
  apartMs: number
  sites: CoverageSite[]
  /** For each two sites of which the second wrote something that is here. The worst first, at most 2,500. */
  pairs: CoveragePair[]
  /** So many more, none of which is worse. */
  pairsLeftOut: number
  /** Groups of sites that have had no news of each other for {@link apartMs}; none where all have. */
  groups: CoverageGroup[]
}
export interface CoverageSite {
  id: string
  /** `device`: one that has said no site, or whose site can't be read here. A server is always one of its own. */
  kind: 'site' | 'device' | 'server'
  name: string | null
  /** `retiring`, `removed`: what it wrote counts, what it holds does not. */
  devices: { device: DeviceInfo; state: 'member' | 'retiring' | 'removed'; heard: string | null }[]
  /** When one of them was last heard. */
  heard: string | null
  /** That its devices wrote, and that are here. */
  commits: number
  /** That its devices wrote and others said to hold, and that are not here: at least. */
  notHere: number
  /** Of what its devices wrote, what only one device is known to hold; null: nothing. */
  oneDevice: CoverageRisk | null
  /** What only one site is known to hold. */
  oneSite: CoverageRisk | null
}
export interface CoverageRisk {
  /** At least so many. */
  commits: number
  /** The device that holds the oldest of them: it must not be lost. */
  holder: DeviceInfo
  /** Its site. */
  site: string
  /** The day on which the oldest was written, by its author's clock; null: it is not here. */
  day: string | null
  /** Of what is not here: when the holder first said that it has it. */
  named: string | null
}
/** What a site was last known to hold of what another one wrote. */
export interface CoveragePair {
  site: string
  /** The site that wrote. */
  of: string
  /** `unchecked`: it has more than this device can check; `unheard`: no device of the site was ever heard. */
  state: 'all' | 'lacks' | 'unchecked' | 'unheard'
  /** The one of the site that holds most of it: all that follows is about this device. */
  device: DeviceInfo | null
  /** The other site's commits that are here: those that it holds, that it lacks, and of which it can't be told. */
  commits: number
  held: number | null
  lacks: number | null
  unchecked: number | null
  /** The day on which the first was written that it is not known to hold, by its author's clock. */
  missingDay: string | null
  /** It holds all that the other site had written by then; null: that is not known of some device there. */
  until: string | null
  /** When it was first heard to hold what it holds. */
  since: string | null
  /** When it was last heard. */
  asOf: string | null
  /** It told this device itself; else `asOf` is by its own clock. */
  direct: boolean
  /** One of these times can't be right. */
  clockOff: boolean
}
export interface CoverageGroup {
  sites: string[]
  /** This device is part of it. */
  ours: boolean
  /** Nothing that was written later on one side is known to have reached the other; null: nothing ever. */
  until: string | null
  /** Commits that nobody outside is known to hold: at least so many. */
  onlyHere: number
}

export interface PeerStatus {
  device: DeviceInfo
  /** Where it is used; null: not known here. */
  site: string | null
  /** The device's name again, for who reads only this level. */
  name: string | null
  connected: boolean
  state: SyncState
  /** Commits that we lack of theirs, by the last clock heard; null: no clock heard yet. */
  behind: number | null
  /** Commits that they lack of ours. */
  ahead: number | null
  lastSeen: string | null
}
/** This device as a bridge between its camp and the mesh's servers. */
export interface BridgeStatus {
  /** Its certificate lets it. */
  mayBridge: boolean
  paused: boolean
  /** True while `up` runs. */
  running: boolean
  /** Null: there is none. */
  budget: BudgetStatus | null
  /** What uplinks have carried, in bytes, today and this month by UTC. */
  carried: { day: number; month: number }
  servers: ServerStatus[]
}
/** For all uplinks of this device together, both ways. */
export interface BudgetStatus {
  bytes: number
  per: 'day' | 'month'
  /** Of `bytes`, kept for control facts and urgent commits. */
  urgentBytes: number
  /** `urgent`: only these go; `used`: nothing does. */
  state: 'open' | 'urgent' | 'used'
  usedBytes: number
  leftBytes: number
  /** When it begins anew: midnight by UTC. */
  until: string
}
export interface BudgetSetting {
  bytes: number
  per: 'day' | 'month'
  urgentBytes: number
}
export interface ServerStatus {
  device: DeviceInfo
  addresses: string[]
  /** Somebody at this device has said that it may be used. */
  allowed: boolean
  /** `waiting`: for the next try; `idle`: not to be connected with. */
  state: 'connected' | 'connecting' | 'waiting' | 'idle'
  /** By what it is connected: `post` where WebSockets don't get through. */
  carrier: 'websocket' | 'post' | null
  /** When the state began. */
  since: string | null
  nextTry: string | null
  /** Why the last try, or the last connection, ended. */
  problem: { code: string; message: string } | null
  /** What it had said that it held, and does not any more: it was put back to an older state. */
  lost: { commits: number; since: string } | null
  /** As for every other device. */
  behind: number | null
  ahead: number | null
  lastSeen: string | null
  /** What is still to be exchanged with it; null: what it holds is not known, or was not asked for. */
  waiting: { up: WaitingSide; down: WaitingSide } | null
}
/** What waits one way. */
export interface WaitingSide {
  commits: number
  bytes: number
  /** `bytes` is not counted, but reckoned from some commits. */
  estimated: boolean
  /** As the link was when it was busy last; null: not measured yet. */
  bytesPerSecond: number | null
  /** How long it takes at this rate. */
  ms: number | null
  /** In the order in which they go. */
  classes: WaitingClass[]
}
export interface WaitingClass {
  /** `unknown`: nothing of it is here yet. */
  kind: 'control' | 'urgent' | 'routine' | 'unknown'
  /** Of what is routine, where its name is known here. */
  collection: string | null
  commits: number
  bytes: number
  estimated: boolean
}
/** Something that a person should know about, by a stable code. */
export interface Notice {
  code: string
  message: string
}
export interface DeviceStatus {
  device: DeviceInfo | null
  /** Where it is used; null: nobody has said. */
  site: string | null
  mesh: MeshInfo | null
  peers: PeerStatus[]
  collections: Record<string, { records: number; contentHash: string }>
  clock: { feeds: number; commits: number; digest: string }
  /** e.g. `MARK_NOT_WRITABLE`, `STORE_DAMAGED`, `STORE_REPAIRED`, `FEED_FORKED`, `COMMITS_HIDDEN`, `WAITING_FOR_KEY`, `SCHEMA_NOT_UNDERSTOOD`. */
  notices: Notice[]
  /** True while `up` runs. */
  running: boolean
  addresses: string[]
}

export type DeviceEvent =
  | { event: 'ready'; time: string; addresses: string[] }
  | { event: 'peer'; time: string; device: DeviceInfo; state: SyncState; connected: boolean }
  | {
      event: 'sync'
      time: string
      device: DeviceInfo
      state: SyncState
      /** Commits and bytes received from and sent to this peer since the session began. */
      commits: { in: number; out: number }
      bytes: { in: number; out: number }
      behind: number | null
      ahead: number | null
    }
  | { event: 'change'; time: string; collection: string; ids: string[] }
  /** Records of the collection are read and written by this version from now on. */
  | { event: 'schema'; time: string; collection: string; version: number }
  | { event: 'joined'; time: string; device: DeviceInfo }
  | { event: 'refused'; time: string; code: ErrorCode; address: string }
  | { event: 'notice'; time: string; code: string; message: string }
  | {
      event: 'edit-problem'
      time: string
      collection: string
      id: string
      code: ErrorCode
      message: string
      /** What was typed last into open documents of the record is gone from them: they show the record again. False: it is kept, and tried again. */
      refused: boolean
    }

/** The operations that also go through the local socket while `haven up` runs (all but `found`, `join`, `recover`, `up`). */
export interface DeviceOperations {
  invite(options?: InviteOptions): Promise<Invitation>
  import(
    sources: Iterable<ImportSource> | AsyncIterable<ImportSource>,
    options?: ImportOptions & { onProgress?: (progress: ImportProgress) => void },
  ): Promise<ImportResult>
  /**
   * NDJSON lines without the line feed, sorted by id. A FHIR resource with something that nobody has reviewed is tagged, and followed by a Provenance that has the
   * other values; an import leaves both out.
   */
  export(collection?: string): AsyncIterable<string>
  list(collection: string): Promise<{ id: string }[]>
  /** @throws HavenError `NOT_FOUND` */
  get(collection: string, id: string): Promise<RecordView>
  /** A value of `undefined` removes the field. */
  set(
    collection: string,
    id: string,
    fields: Iterable<[string, JsonText | undefined]>,
    options?: WriteOptions,
  ): Promise<WriteResult>
  delete(collection: string, id: string, options?: WriteOptions): Promise<WriteResult>
  /**
   * Changes a record in one commit: all of it or nothing.
   *
   * @throws HavenError `INVALID_VALUE` where the strategy of a field knows no such change, `TEXT_RANGE`, `NOT_ALLOWED`, `TOO_LARGE`
   */
  write(
    collection: string,
    id: string,
    changes: Iterable<RecordChange>,
    options?: WriteOptions,
  ): Promise<WriteResult>
  /**
   * Says that the records are about the same, the first and each of the others. Nothing is merged, and {@link unlink} takes it back.
   *
   * @throws HavenError `NOT_FOUND`, `LINK_TO_ITSELF`, `TOO_LARGE`, `NOT_ALLOWED`
   */
  link(collection: string, ids: string[], options?: LinkOptions): Promise<LinkResult>
  /**
   * Takes the links between the first and each of the others back, and no others.
   *
   * @throws HavenError `NOT_FOUND`, `LINK_TO_ITSELF`, `LINKED_INDIRECTLY`, `NOT_ALLOWED`
   */
  unlink(collection: string, ids: string[], options?: LinkOptions): Promise<LinkResult>
  /** By causality, whatever clocks say. `before`: whoever had `b` had seen all of `a`. */
  compare(
    collection: string,
    a: RecordVersionToken,
    b: RecordVersionToken,
  ): Promise<'before' | 'after' | 'equal' | 'concurrent'>
  /** What was written without seeing each other: by rank, open before decided, the newest first, by names. */
  conflicts(options?: ConflictsOptions): Promise<Conflict[]>
  /**
   * Settles a conflict by a write, which reaches all devices. People who decide the same at the same time agree; otherwise there is a new
   * conflict.
   *
   * @param field - null: the record as a whole
   * @throws HavenError `NOT_IN_CONFLICT` when there is none (any more), `CONFLICT_CHANGED`, `USAGE`, `INVALID_VALUE`, `NOT_ALLOWED`;
   *   nothing is written then
   */
  resolve(
    collection: string,
    id: string,
    field: string | null,
    resolution: Resolution,
    options?: ResolveOptions,
  ): Promise<WriteResult>
  /** @throws HavenError `NOT_FOUND` */
  history(collection: string, id: string, options?: HistoryOptions): Promise<RecordHistory>
  /** @throws HavenError `NOT_FOUND` */
  recordStatus(collection: string, id: string): Promise<RecordStatus>
  /**
   * Whether this device can be wiped. From the first call on it takes no writes (`RETIRING`), until {@link cancelRetirement}; it goes on reading
   * and exchanging.
   *
   * @throws HavenError `USAGE`, `NOT_READABLE_YET`
   */
  safeToWipe(options?: WipeOptions): Promise<WipeAnswer>
  /** This device goes on, and takes writes again. Returns whether it was to be wiped. */
  cancelRetirement(): Promise<boolean>
  /** @throws HavenError `UNKNOWN_COLLECTION` */
  schemas(collection?: string): Promise<CollectionSchemas[]>
  /**
   * @param version - default: the one that this device reads and writes by
   * @throws HavenError `NOT_FOUND`, `NOT_READABLE_YET`
   */
  schema(collection: string, version?: number): Promise<SchemaText>
  /**
   * Announces a schema to the whole mesh; for admins.
   *
   * @param options.force - also where something is lost by it
   * @throws HavenError `NOT_ALLOWED`, `SCHEMA_INVALID`, `SCHEMA_VERSION`, `SCHEMA_LOSSY`, `UNKNOWN_COLLECTION`, `TOO_LARGE`
   */
  applySchema(text: string, options?: { force?: boolean }): Promise<AppliedSchema>
  /**
   * This device, an app of an older version, reads and writes by that version from now on.
   *
   * @param version - null: by the newest
   * @throws HavenError `NOT_FOUND`
   */
  pinSchema(collection: string, version: number | null): Promise<CollectionSchemas>
  /**
   * Lets a server into the mesh, by the code that `haven server invite` shows there.
   *
   * @throws HavenError `NOT_ALLOWED` unless this device is an admin, `SERVER_NOT_FOUND`, `INVITATION_INVALID`, `INVITATION_EXPIRED`,
   *   `INVITATION_USED`
   */
  addServer(code: string): Promise<ServerStatus>
  /**
   * This device may use a server: all that there are, or one by its name or the beginning of its id.
   *
   * @throws HavenError `NOT_FOUND`, `NOT_ALLOWED`
   */
  allowServer(server?: string): Promise<BridgeStatus>
  /** Servers are left alone until it is taken back. */
  pauseBridge(paused: boolean): Promise<BridgeStatus>
  /**
   * What uplinks of this device may carry; null: as much as there is.
   *
   * @throws HavenError `USAGE`
   */
  setBridgeBudget(budget: BudgetSetting | null): Promise<BridgeStatus>
  bridgeStatus(): Promise<BridgeStatus>
  status(): Promise<DeviceStatus>
  /**
   * Where a device is used: this one, or one by its name or the beginning of its id.
   *
   * @throws HavenError `NOT_FOUND`, `USAGE`
   */
  site(of?: string): Promise<DeviceSite>
  /**
   * Says where this device is used, or, for an admin, where another one is that can't say it itself.
   *
   * @param site - null: takes back what was said here before
   * @throws HavenError `USAGE`, `NOT_FOUND`, `NOT_ALLOWED`, `NOT_READABLE_YET`, `RETIRING`
   */
  setSite(site: string | null, of?: string): Promise<DeviceSite>
  /**
   * Which site knew what of which other one, from clocks alone.
   *
   * @throws HavenError `USAGE`, `NOT_FOUND`
   */
  coverage(options?: CoverageOptions): Promise<Coverage>
}

/** A record as a form has it. */
export interface OpenRecord {
  readonly collection: string
  readonly id: string
  /** What the record shows, as of the last `record()`, `refresh` or `save`; undefined when there is none. */
  readonly view: RecordView | undefined
  refresh(): Promise<RecordView | undefined>
  /** Begins with what `view` is now, and keeps to that while others write. */
  edit(): RecordDraft
}

/** Changes that are saved together. Each call returns the draft, so that calls can be chained. */
export interface RecordDraft {
  /**
   * Of a text and of a set, what differs from what the form showed is written: what others typed, added and removed there meanwhile stays.
   *
   * @param value - undefined removes the field
   */
  set(field: string, value: JsonText | undefined): this
  /**
   * Some letters of a text, as the form shows it with the changes made so far.
   *
   * @param change.at - in UTF-16 code units, as `remove`: first that many are removed there, then `insert` is inserted
   * @throws HavenError `TEXT_RANGE` for a place that is not in the text, `INVALID_VALUE` where the form shows no text
   */
  editText(field: string, change: { at: number; remove?: number; insert?: string }): this
  add(field: string, element: JsonText): this
  remove(field: string, element: JsonText): this
  /** @param delta - a whole number */
  count(field: string, delta: number): this
  delete(): this
  /**
   * Writes all of it in one commit, once. What arrived since `edit()` is not replaced: where both changed a field, both values show.
   *
   * @throws HavenError `USAGE` when it was saved, or nothing was changed; and what `DeviceOperations.write` throws: it can then be
   *   saved again
   */
  save(options?: { urgent?: boolean | undefined }): Promise<WriteResult>
}

export interface Device extends DeviceOperations, AsyncDisposable {
  readonly dataDir: string | undefined
  /** Null until this store has a mesh. */
  readonly info: DeviceInfo | null
  readonly mesh: MeshInfo | null
  /** Founds a mesh; the recovery words are shown once and kept nowhere. */
  found(options: FoundOptions): Promise<MembershipResult & { recovery: string }>
  join(code: string, options?: JoinOptions): Promise<MembershipResult>
  recover(options: RecoverOptions): Promise<MembershipResult>
  /** Starts listening, discovering and syncing; resolves when ready. `close` ends it. */
  up(options?: UpOptions): Promise<{ addresses: string[] }>
  /** Waits until an invitation has been used (resolves with the new member) or has expired (null). */
  invitationUsed(code: string, signal?: AbortSignal): Promise<DeviceInfo | null>
  /** A record to be edited in a form: what is saved replaces what the form showed, not what arrived meanwhile. */
  record(collection: string, id: string): Promise<OpenRecord>
  /**
   * A live Yjs document of this record; edits sync. The same document for the same record while it is open: until `doc.destroy()`, or until nobody
   * holds it or listens to it any more. Edits are durable a moment after they were made; one that can't be stored is told by the event `edit-problem`.
   */
  doc(collection: string, id: string): Promise<Y.Doc>
  subscribe(listener: (event: DeviceEvent) => void): () => void
  close(): Promise<void>
}

export interface DeviceOptions {
  /** Created when missing. */
  dataDir: string
  /** Where the rollback mark is kept; default `$XDG_STATE_HOME/haven`. */
  stateDir?: string | undefined
  /** Waits so long for another process that has the store open. */
  lockWaitMs?: number | undefined
  /** Seals the keys at rest. */
  passphrase?: string | undefined
  log?:
    | ((event: {
        level: 'debug' | 'info' | 'warn' | 'error'
        code: string
        message: string
        [key: string]: unknown
      }) => void)
    | undefined
}
