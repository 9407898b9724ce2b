/** A change of a record of which texts are a part: values and texts go into one commit. */
import type { Reading } from '../records/reading.ts'
import { textEdit } from '../records/text.ts'
import type { TextWrites } from '../records/text-writes.ts'
import type { RecordView } from '../records/visibility.ts'
import type { RecordChange } from './record-writer.ts'

/** @param plan - what is to be written into the record as it is seen then */
export function withTexts(
  id: string,
  plan: (view: RecordView, reading: Reading) => TextWrites,
): RecordChange {
  let texts: TextWrites['texts'] = []
  return {
    id,
    plan(view, reading) {
      const planned = plan(view, reading)
      ;({ texts } = planned)
      return planned.writes
    },
    free: (state, writer) => (texts.length === 0 ? undefined : textEdit(state, writer, texts)),
  }
}
