/** What has to happen in some runs, or the search looks where nothing is: each is noted when it is seen. */
import type { FullRun } from '../full/full-run.ts'

export const sometimes = [
  'a contact ends in the middle of a transfer',
  'a session is complete',
  'two branches of a feed are held',
  'a device goes on in a new incarnation',
  'a write is refused',
  'records are in conflict',
  'a device does not run',
] as const

export class Sometimes {
  readonly happened = new Set<string>()
  readonly #incomplete = new Map<string, boolean>()

  look(run: FullRun): void {
    for (const { runtime, spec } of run.devices) {
      if (runtime === undefined) {
        this.#note('a device does not run')
        continue
      }
      let isTransferring = false
      for (const session of runtime.driver.engine.sessions()) {
        if (session.complete) this.#note('a session is complete')
        isTransferring ||= session.window.inFlightBytes > 0
      }
      if (
        this.#incomplete.get(spec.name) === true &&
        [...runtime.driver.engine.sessions()].length === 0
      )
        this.#note('a contact ends in the middle of a transfer')
      this.#incomplete.set(spec.name, isTransferring)
      for (const { code } of runtime.notices) {
        if (code === 'FEED_FORKED') this.#note('two branches of a feed are held')
        if (code === 'NEW_INCARNATION') this.#note('a device goes on in a new incarnation')
      }
    }
    if (run.refused.size > 0) this.#note('a write is refused')
  }

  /** When all is over. */
  lookBack(run: FullRun): void {
    for (const { disk } of run.devices)
      for (const name of disk.secrets.keys())
        if (name.startsWith('disputed-')) this.#note('records are in conflict')
  }

  #note(what: (typeof sometimes)[number]): void {
    this.happened.add(what)
  }
}
