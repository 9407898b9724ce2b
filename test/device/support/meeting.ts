import { connect, sameClock, until } from './test-device.ts'
import type { TestDevice } from './test-device.ts'

/** Connects two devices until both hold the same and have said so. The returned function cuts the link. */
export async function meet(one: TestDevice, other: TestDevice): Promise<() => Promise<void>> {
  const cut = connect(one, other)
  await until(() => {
    const here = one.runtime.driver.engine.sessionWith(other.id)
    const there = other.runtime.driver.engine.sessionWith(one.id)
    return sameClock(one, other) && here?.complete === true && there?.complete === true
  })
  await Promise.all([one.idle(), other.idle()])
  return async () => {
    cut()
    await until(() => one.runtime.driver.engine.sessionWith(other.id) === undefined)
  }
}

export async function exchange(one: TestDevice, other: TestDevice): Promise<void> {
  const part = await meet(one, other)
  await part()
}

/** A meeting in which each also hears what the other announces. */
export async function exchangeAnnouncements(one: TestDevice, other: TestDevice): Promise<void> {
  const part = await meet(one, other)
  await announced(one, other)
  await announced(other, one)
  await part()
}

/** A device says what it holds, as it does when nothing has happened for a while, and `to` hears it. */
export async function announced(device: TestDevice, to: TestDevice): Promise<void> {
  const { engine } = device.runtime.driver
  device.mesh.nowMs += 2_000
  engine.tick(device.mesh.nowMs)
  device.runtime.driver.pump()
  const heard = () => to.runtime.driver.engine.book.entries.get(device.id)
  await until(() => {
    const said = engine.book.entries.get(device.id)?.announcement
    return said !== undefined && heard()?.announcement?.number === said.number
  })
  await until(() => heard()?.known !== undefined)
}
