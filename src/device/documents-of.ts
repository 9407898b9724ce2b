/** The live documents of a device, for what is built upon it. */
import { HavenError } from '../core/errors.ts'
import type { LiveDocs } from './live-docs.ts'

const known = new WeakMap<object, () => LiveDocs>()

export function offerDocuments(device: object, documents: () => LiveDocs): void {
  known.set(device, documents)
}

/** @throws HavenError `USAGE` for anything else than a device of `createDevice`, `NOT_MEMBER` before it has a mesh */
export function documentsOf(device: object): LiveDocs {
  const documents = known.get(device)
  if (documents === undefined) {
    throw new HavenError('USAGE', 'This is no device that createDevice of this package has made.')
  }
  return documents()
}
