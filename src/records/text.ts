/** Fields that are texts: root `Y.Text`s of a record's free types. */
import * as Y from 'yjs'
import { canonicalFreeUpdate } from './doc.ts'
import type { RecordState } from './record-state.ts'

/** What the texts of these names say; empty for one that nobody wrote. Edits that wait for others are not shown yet. */
export function textsOf(state: RecordState, names: readonly string[]): ReadonlyMap<string, string> {
  const update = canonicalFreeUpdate(state)
  if (update === undefined) return new Map(names.map((name) => [name, '']))
  const doc = new Y.Doc({ guid: state.id })
  Y.applyUpdate(doc, update)
  return new Map(names.map((name) => [name, doc.getText(name).toJSON()]))
}
