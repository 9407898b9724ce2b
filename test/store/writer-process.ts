/** Writes batches for ever and says which are acknowledged, or holds the store open: `node writer-process.ts <directory> <write|hold>`. */
import { openLevelStore } from '../../src/store/level-store.ts'
import { chainOf, feedA, putCommit } from '../contract/commit-store-contract.ts'

const [, , location, mode] = process.argv
const store = await openLevelStore({ location: location!, storeKey: new Uint8Array(32).fill(9) })
const { seq } = await store.tipOf(feedA)
let [last] = await store.commits({ feed: feedA, after: seq - 1, upTo: seq })
process.stdout.write(`open ${seq}\n`)
if (mode === 'hold') setInterval(() => undefined, 1_000)
else for (;;) await writeBatch()

async function writeBatch(): Promise<void> {
  const batch = chainOf(5, {
    ciphertextBytes: 2_000,
    ...(last === undefined ? {} : { after: last }),
  })
  last = batch.at(-1)!
  const count = Uint8Array.of(Math.floor(last.seq / 256), last.seq % 256)
  await store.batch([
    ...batch.map(putCommit),
    { kind: 'record', collection: 'c', id: 'count', value: count },
  ])
  process.stdout.write(`${last.seq}\n`)
}
