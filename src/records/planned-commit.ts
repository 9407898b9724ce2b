/** A commit that is being made: who has seen what as soon as it is there. */
import type { Causality } from './candidates.ts'
import type { Place } from './causality.ts'

/** The author of what stands at this place has seen all that is here, and nobody has seen that yet. */
export function withPlanned(causality: Causality, planned: Place): Causality {
  const isPlanned = ({ writer, seq }: Place): boolean =>
    writer === planned.writer && seq >= planned.seq
  return {
    isInPast(a, b) {
      if (a.writer === b.writer) return a.seq < b.seq
      return !isPlanned(a) && (isPlanned(b) || causality.isInPast(a, b))
    },
    isBranchOf: (writer, ancestor) => causality.isBranchOf(writer, ancestor),
  }
}
