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
}

export const fullScale: Scale = {
  records: 100_000,
  edits: { together: 2_000, apart: 18_000, days: 36 },
  restarts: { edits: 2_000, restarts: 1_000, days: 20 },
  updates: 10_000,
  conflicts: 1_000,
  documents: { first: 10_000, all: 30_000 },
  reads: 50,
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
}
