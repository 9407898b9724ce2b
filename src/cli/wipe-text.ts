import type { WipeAnswer, WipeHolder, WipeLoss } from '../device/api.ts'
import { countText } from './amounts.ts'
import { table } from './cells.ts'
import { nameOf } from './event-text.ts'
import { momentText } from './moment-text.ts'
import { printable } from './printable.ts'

/**
 * `haven safe-to-wipe` for people: yes or no, what would be lost, and what each other device has said.
 *
 * @param options.isUp - the device is exchanging with others
 */
export function wipeText(
  answer: WipeAnswer,
  { nowMs, isUp }: { nowMs: number; isUp: boolean },
): string {
  const { safe, asOf, devices, lost, lostEpochs } = answer
  const time = asOf === null ? '' : `, as of ${momentText(asOf, nowMs)}`
  if (safe) {
    const holders = devices.filter(({ state }) => state === 'holds')
    return [
      `Yes${time}: everything that is here is also on ${namesOf(holders)}.`,
      'They know that this device goes, and do not rely on it. It takes no writes any more; --cancel takes that back.',
    ].join('\n')
  }
  return [
    `No, not yet${time}.`,
    ...section('Would be lost, as far as is known', lost.map(lossRow)),
    ...section(
      'Keys that nobody else is known to have',
      lostEpochs.map(({ collection, epoch }) => [collectionText(collection), epoch.slice(0, 8)]),
    ),
    ...section(
      'Other devices',
      devices.map((holder) => [nameOf(holder.device), stateText(holder, nowMs)]),
    ),
    '',
    adviceText(answer, isUp),
    'This device takes no writes any more; --cancel takes that back.',
  ].join('\n')
}

function section(title: string, rows: string[][]): string[] {
  return rows.length === 0 ? [] : ['', title, table(rows)]
}

function lossRow({ collection, commits, records, heldBy }: WipeLoss): string[] {
  const amount = countText(commits, 'commit')
  const touched = records === null ? '' : `, of ${countText(records, 'record')}`
  const held = heldBy.map(
    ({ device, commits: count }) =>
      `${nameOf(device)} has ${count === commits ? 'them' : `${count.toLocaleString('en')} of them`}`,
  )
  return [
    collectionText(collection),
    `${amount}${touched}`,
    held.length === 0 ? 'nobody else has them' : held.join(', '),
  ]
}

function collectionText(collection: string | null): string {
  return collection === null ? 'members and keys' : printable(collection)
}

function stateText({ state, lacks, heard }: WipeHolder, nowMs: number): string {
  const time = heard === null ? '' : `, heard ${momentText(heard, nowMs)}`
  if (state === 'lacks') return `lacks ${countText(lacks ?? 0, 'commit')}${time}`
  if (state === 'retiring' || state === 'unheard') return stateTexts[state]
  return `holds it all, and ${stateTexts[state]}${time}`
}

const stateTexts = {
  holds: 'knows that this device goes',
  unaware: 'has not said that it knows that this device goes',
  unsure: 'something that is not here yet',
  retiring: 'is to be wiped itself',
  unheard: 'never heard',
}

/** What stands in the way, and what to do about it. */
function adviceText({ needed, devices, lost, lostEpochs }: WipeAnswer, isUp: boolean): string {
  const others = needed === 1 ? 'another device' : `${needed} other devices`
  const start = isUp ? 'Leave `haven up` running here' : 'Run `haven up` here'
  if (lost.length > 0)
    return `${start}, near the others, until a server or ${others} have it all, and ask again.`
  const readers = devices.filter(({ reads, state }) => reads && state !== 'retiring')
  if (lostEpochs.length > 0 || readers.length === 0)
    return `${start}, near a device that can read what this one can, and ask again.`
  return `${start}, near the others: they have it all, and only have to say that they know that this device goes.`
}

function namesOf(holders: readonly WipeHolder[]): string {
  const names = holders.map(({ device }) => nameOf(device))
  if (names.length > 3) return `${names.length} other devices`
  if (names.length < 2) return names[0] ?? 'a server'
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)!}`
}
