/**
 * Every bound on what comes from outside, with its reason. docs/security.md lists them for operators.
 *
 * Where two bounds depend on each other, the dependent one is computed here.
 */

const kib = 1024
const mib = 1024 * kib

export const limits = {
  /** Ciphertext of one commit: a second on a 2 Mbit/s link, so that the urgent lane never waits longer for one frame. */
  commitCiphertextBytes: 256 * kib,
  /** One frame: a largest commit, its header, a signature, a descriptor and the message around them. */
  frameBytes: 272 * kib,
  /** Plaintext of one commit after inflating: stops a decompression bomb (zeros deflate 1,029 times). */
  commitPlaintextBytes: 4 * mib,
  /** One update of a record, over as many continued commits as it takes. */
  updateBytes: 8 * mib,
  /** Commits in one run that ends with a signature: a peer can't make us hold more before we can verify it. */
  runCommits: 256,
  /** A run, so that whoever passes it on has room for a descriptor and the message around it. */
  runBytes: 270 * kib,
  /** The first frame of a stranger: a certificate chain of a few admins and a clock digest. */
  helloBytes: 8 * kib,
  helloMs: 10_000,
  /** Feeds in one vector clock: those of the largest mesh (1,000 devices, 5,000 feeds), and no more than fit into one frame. */
  clockFeeds: 8_192,
  /** Entries of one commit's context: other feeds that advanced since the last commit of this feed. */
  contextEntries: 16_384,
  /** Records in one commit. */
  commitRecords: 65_536,
  recordIdBytes: 256,
  fieldNameBytes: 256,
  /** JSON text of one field's value. */
  valueBytes: 4 * mib,
  fieldsPerRecord: 4_096,
  /** Records that are linked with each other: duplicates of one person, and a mistake or two. */
  linkedRecords: 256,
  actorBytes: 128,
  meshNameBytes: 128,
  deviceNameBytes: 64,
  siteNameBytes: 64,
  /** Certificates from a device's up to the root. */
  certificateChain: 16,
  /** Addresses of one server: by name and by number, from inside and from outside. */
  serverAddresses: 8,
  serverAddressBytes: 255,
  /** Connections of a server, of strangers too: twice the devices of the largest mesh. */
  serverConnections: 2_000,
  /** Of them, those that have not proved a device yet: each for `helloMs` at most. Of one host, as many on which nothing was asked for yet. */
  serverStrangers: 256,
  /** Of one host in ten seconds: a camp, or all camps, may be behind one address. */
  serverCallsOfHost: 100,
  /** Of one device in a minute: a link that breaks every other second. */
  serverCallsOfDevice: 30,
  /** A question of an exchange, and an answer: 1 MiB of commits and one more, clocks and announcements beside them. Both are held in memory. */
  exchangeBytes: 2 * mib,
  /** Until a question is there: a largest commit over 9.6 kbit/s, and some more. */
  exchangeMs: 300_000,
  /** Questions at a time, on their way or being answered: 512 MiB if all of them were as large as they may be. */
  serverExchanges: 128,
  /** Of one device in a minute: who catches up asks again at once. */
  serverExchangesOfDevice: 600,
  /** Questions that are remembered so that none is answered twice: a thousand devices that ask every other second. */
  serverQuestionsKept: 200_000,
  /** What an answerer names its clock by, for its asker to give back. */
  positionBytes: 64,
  /** Facts in one control commit. */
  controlFacts: 4_096,
  /** Text of one schema: hundreds of fields and steps, and still a fraction of a second on a slow link. */
  schemaBytes: 64 * kib,
  /** Places looked at when two histories of a feed are compared: seq - 1, -2, -4, … covers 2^53. */
  locatorEntries: 56,
  /** Branches of one feed that are kept; more need an admin's eye (a device restored again and again). */
  branchesPerFeed: 64,
  /** Announcements and clock bodies carried for others. */
  announcements: 4_096,
  announcementBytes: 10 * kib,
  /** Older claims that are kept of each device, and their entries, to say since when it has held something: 40 MB for 1,000 devices. */
  claimsKept: 16,
  claimEntriesKept: 256,
  /** Sessions at a time; an active neighbour costs about 0.5 MB in libp2p. */
  sessions: 32,
  /** Active neighbours that are kept up to date at once on a large network. */
  activeNeighbours: 8,
  /** Bytes that a peer may send before they are durable here: bounded by the receiver, adapted to the link. */
  windowMinBytes: 32 * kib,
  windowMaxBytes: 4 * mib,
  /** A link slower than 9.6 kbit/s for this long is given up. */
  progressMs: 30_000,
  progressBytes: 8 * kib,
  /** How far the hybrid clock follows clocks that are ahead of the device's own. */
  clockDriftMs: 24 * 60 * 60 * 1000,
  /** A line of an NDJSON file, a resource in a Bundle: what one update may hold, with its JSON around it. */
  importLineBytes: 8 * mib,
  importBundleBytes: 256 * mib,
  jsonDepth: 128,
  invitationTtlMinMs: 1_000,
  invitationTtlMaxMs: 7 * 24 * 60 * 60 * 1000,
} as const
