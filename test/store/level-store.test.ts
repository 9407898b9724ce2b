import { MemoryLevel } from 'memory-level'
import { commitStoreContract } from '../contract/commit-store-contract.ts'
import { openLevelStore } from '../../src/store/level-store.ts'
import { scratchDirectory } from './scratch.ts'

const storeKey = new Uint8Array(32).fill(9)

commitStoreContract('a store in memory', () =>
  openLevelStore({ db: new MemoryLevel<Uint8Array, Uint8Array>(), storeKey }),
)

commitStoreContract('a store on disk', async () =>
  openLevelStore({ location: await scratchDirectory(), storeKey }),
)
