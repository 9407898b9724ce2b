import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The directory with the bundled records: beside the sources, in a checkout and in the published package. */
export function campData(): string {
  const places = [
    join(import.meta.dirname, '..', 'camp-data'),
    // From what was compiled, which holds no data.
    join(import.meta.dirname, '..', '..', '..', '..', 'src', 'cli', 'camp-data'),
  ]
  return places.find((place) => existsSync(place)) ?? places[0]!
}
