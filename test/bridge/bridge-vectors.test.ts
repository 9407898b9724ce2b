import { expect, test } from 'vitest'
import { bridgeVectors } from './bridge-vectors.ts'

// When this fails, other versions can't talk to this one. A vitest -u writes the file anew.
test('every message of the inner channel still has the same bytes', async () => {
  await expect(`${JSON.stringify(bridgeVectors(), undefined, 2)}\n`).toMatchFileSnapshot(
    '../vectors/bridge.json',
  )
})
