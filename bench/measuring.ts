import type { Samples } from './report.ts'
import type { RowName } from './rows.ts'
import type { Scale } from './scale.ts'

/** What a measurement is given. */
export interface Measuring {
  readonly samples: Samples
  /** For its stores; emptied by others. */
  readonly directory: string
  readonly scale: Scale
  readonly rounds: number
  readonly isWanted: (...names: RowName[]) => boolean
}
