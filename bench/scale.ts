/** What several meshes bring to a server. */
export interface Bulk {
  meshes: number
  /** Members of each mesh, all of whom have written. */
  authors: number
  /** By each of them, and bytes in each commit that do not compress. */
  commits: number
  bytes: number
}

/** How much of everything. */
export interface Scale {
  /** Records of a large collection. */
  records: number
  /** Edits of one record: while connected, and then while each device is out alone for some days. */
  edits: { together: number; apart: number; days: number }
  /** Edits of another record, and restarts of the devices between them. */
  restarts: { edits: number; restarts: number; days: number }
  /** Records that one device changes while it is alone, and those among them that the other one changes too. */
  updates: number
  conflicts: number
  documents: { first: number; all: number }
  /** Different records of the same kind that are read once each. */
  reads: number
  largeCommits: Bulk
  smallCommits: Bulk
  /** Bridges that are connected with one server, over how many meshes they are spread in a second run, and how long they are left alone. */
  idle: { bridges: number; meshes: number; ms: number }
  /** Commits that a bridge lacks. */
  catchUp: number
  /** What waits for a slow link: records of an import, and single edits. */
  slowLink: { imported: number; edits: number }
}

export const fullScale: Scale = {
  records: 100_000,
  edits: { together: 2_000, apart: 18_000, days: 36 },
  restarts: { edits: 2_000, restarts: 1_000, days: 20 },
  updates: 10_000,
  conflicts: 1_000,
  documents: { first: 10_000, all: 30_000 },
  reads: 50,
  largeCommits: { meshes: 4, authors: 4, commits: 150, bytes: 64_000 },
  smallCommits: { meshes: 4, authors: 4, commits: 3_000, bytes: 250 },
  // Longer than what is said after a pause, and than a ping.
  idle: { bridges: 500, meshes: 10, ms: 10_000 },
  catchUp: 10_000,
  slowLink: { imported: 1_500, edits: 300 },
}

/** To see that everything runs. */
export const quickScale: Scale = {
  records: 2_000,
  edits: { together: 80, apart: 320, days: 2 },
  restarts: { edits: 80, restarts: 16, days: 1 },
  updates: 200,
  conflicts: 20,
  documents: { first: 100, all: 400 },
  reads: 10,
  largeCommits: { meshes: 2, authors: 2, commits: 8, bytes: 64_000 },
  smallCommits: { meshes: 2, authors: 2, commits: 100, bytes: 250 },
  idle: { bridges: 12, meshes: 2, ms: 500 },
  catchUp: 100,
  slowLink: { imported: 100, edits: 10 },
}
