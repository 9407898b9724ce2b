/** For commands: the server that runs, through its socket, or its home where none runs. */
import { openServerHome } from './open-server-home.ts'
import type { ServerPlace } from './open-server-home.ts'
import { reachControl } from './control-socket.ts'
import { lookAtServerHome } from './open-server-home.ts'
import { MeshControl } from './server-control.ts'
import type { ServerControl } from './server-control.ts'
import type { ServerHome } from './server-home.ts'

/** @throws HavenError `NOT_FOUND` where there is no server, `STORE_BUSY` for one that just starts or ends */
export async function withControl<T>(
  place: ServerPlace,
  use: (control: ServerControl) => Promise<T>,
): Promise<T> {
  // Where processes share a database, everything is there.
  const running = place.dataDir === undefined ? undefined : await reachControl(place.dataDir)
  if (running !== undefined) return use(running)
  // Opening makes what is not there.
  const looked = await lookAtServerHome(place)
  await looked.close()
  const home = await openServerHome(place)
  try {
    return await use(controlOf(home))
  } finally {
    await home.close()
  }
}

function controlOf(home: ServerHome): ServerControl {
  return new MeshControl({
    storeKey: home.secrets.storeKey,
    quotaBytes: undefined,
    list: () => home.meshes(),
    async use(mesh) {
      const { store, usage } = await home.openMesh(mesh, () => {})
      return { store, usage, failure: undefined, release: () => store.close() }
    },
    remove: (mesh) => home.removeMesh(mesh),
  })
}
