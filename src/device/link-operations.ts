/** Linking records that are about the same, and taking that back, by collection name. docs/data-model.md, "Links". */
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { linkedWith, writesToLink, writesToUnlink } from '../records/links.ts'
import type { RecordView } from '../records/visibility.ts'
import type { PlannedWrite } from '../records/writes.ts'
import type { LinkOptions, LinkResult } from './api.ts'
import type { Collection } from './collection.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { groupOf, linksOf, viewsOf } from './record-links.ts'
import { checkedId } from './record-operations.ts'

export class LinkOperations {
  readonly #runtime: MeshRuntime

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime
  }

  async link(
    name: string,
    ids: readonly string[],
    { urgent = false }: LinkOptions = {},
  ): Promise<LinkResult> {
    const [first, ...others] = checkedIds(ids)
    const collection = await this.#collection(name)
    await assertRoom(collection, ids)
    const plan = (wanted: readonly string[]) => (view: RecordView) => {
      if (!view.exists) throw notHere()
      return writesToLink(view, wanted)
    }
    return this.#write(name, { ids, plans: plansOf(first!, others, plan), urgent })
  }

  async unlink(
    name: string,
    ids: readonly string[],
    { urgent = false }: LinkOptions = {},
  ): Promise<LinkResult> {
    const [first, ...others] = checkedIds(ids)
    const collection = await this.#collection(name)
    const group = await groupOf(collection, first!)
    const direct = new Set(linkedWith(group.get(first!)!))
    for (const view of await viewsOf(collection, ids)) {
      if (!view.exists && !view.deleted && linkedWith(view).length === 0) throw notHere()
    }
    if (others.some((other) => group.has(other) && !direct.has(other))) {
      throw new HavenError(
        'LINKED_INDIRECTLY',
        'These are not linked with each other, but both with another record: look at the links with haven get, and unlink the one that is wrong.',
      )
    }
    const plan = (wanted: readonly string[]) => (view: RecordView) => writesToUnlink(view, wanted)
    return this.#write(name, { ids, plans: plansOf(first!, others, plan), urgent })
  }

  async #write(
    name: string,
    { ids, plans, urgent }: { ids: readonly string[]; plans: Plans; urgent: boolean },
  ): Promise<LinkResult> {
    const { commit } = await this.#runtime.writer.write(
      this.#runtime.collectionId(name),
      urgent ? 'urgent' : 'routine',
      plans,
    )
    return {
      ids: [...ids],
      commit: commit === undefined ? null : { ...commit },
      links: await linksOf(await this.#collection(name), ids[0]!),
    }
  }

  async #collection(name: string): Promise<Collection> {
    const collection = await this.#runtime.integrator.collection(this.#runtime.collectionId(name))
    await this.#runtime.integrator.idle()
    return collection
  }
}

type Plans = { readonly id: string; plan(view: RecordView): readonly PlannedWrite[] }[]

/** The first is linked with each of the others, and they with it: all of it in one commit. */
function plansOf(
  first: string,
  others: readonly string[],
  plan: (wanted: readonly string[]) => Plans[number]['plan'],
): Plans {
  return [{ id: first, plan: plan(others) }, ...others.map((id) => ({ id, plan: plan([first]) }))]
}

async function assertRoom(collection: Collection, ids: readonly string[]): Promise<void> {
  const together = new Set<string>()
  for (const id of ids) {
    if (together.has(id)) continue
    for (const member of (await groupOf(collection, id)).keys()) together.add(member)
    if (together.size > limits.linkedRecords) {
      throw new HavenError(
        'TOO_LARGE',
        `At most ${limits.linkedRecords} records can be linked with each other.`,
      )
    }
  }
}

function checkedIds(ids: readonly string[]): string[] {
  if (ids.length < 2) throw new HavenError('USAGE', 'Name at least two records.')
  if (new Set(ids).size < ids.length) {
    throw new HavenError(
      'LINK_TO_ITSELF',
      'A record is the same as itself already: name different records.',
    )
  }
  return ids.map(checkedId)
}

function notHere(): HavenError {
  return new HavenError(
    'NOT_FOUND',
    'One of the records is not in this collection, deleted, or has not arrived yet: see haven list. Records of different collections can not be linked.',
  )
}
