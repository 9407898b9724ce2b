import type { JsonText, RecordView } from '../device/api.ts'
import { nameOf } from './event-text.ts'
import { RawJson } from './json.ts'
import { padded, truncated, widthOf } from './cells.ts'
import { linksText } from './link-text.ts'
import { dateAndTime, printable } from './printable.ts'

/** The document of `get --json`. `fields` and `conflicts` keep any name, and values their number lexemes. */
export function recordDocument(view: RecordView): object {
  return {
    id: view.id,
    collection: view.collection,
    fields: new Map([...view.fields].map(([name, text]) => [name, new RawJson(text)])),
    conflicts: new Map(
      [...view.conflicts].map(([name, values]) => [
        name,
        values.map(({ value, device, time }) => ({
          value: value === undefined ? null : new RawJson(value),
          // Tells it from a `null` that somebody wrote.
          removed: value === undefined ? true : undefined,
          device: { id: device.id, name: device.name },
          time,
        })),
      ]),
    ),
    deleted: view.deleted,
    resurrected: view.resurrected ? true : undefined,
    kept:
      view.kept.size === 0
        ? undefined
        : new Map(
            [...view.kept].map(([name, values]) => [name, values.map((text) => new RawJson(text))]),
          ),
    links: view.links.length === 0 ? undefined : view.links,
    version: view.version,
  }
}

/** @param width - long values are cut to it, but not who wrote them */
export function recordText(view: RecordView, width: number): string {
  const names = [...new Set([...view.fields.keys(), ...view.conflicts.keys()])]
  const nameWidth = Math.min(28, Math.max(0, ...names.map((name) => widthOf(printable(name)))))
  const row = (name: string, text: string) =>
    truncated(`  ${padded(name, nameWidth)}  ${text}`, width)
  const valueRow = (value: JsonText | undefined, number: number, who: string) => {
    const start = `  ${padded('', nameWidth)}  ${number}  `
    const text = value === undefined ? '(removed)' : printable(value)
    const room = Math.max(10, width - widthOf(start) - widthOf(who))
    return `${start}${truncated(text, room)}${who}`
  }
  const lines = names.flatMap((name) => {
    const conflict = view.conflicts.get(name)
    const kept = view.kept.get(name)
    if (conflict !== undefined)
      return [
        row(
          printable(name),
          conflict.length === 1
            ? '1 value, which can not be shown by this version of the schema:'
            : `${conflict.length} values, written without seeing each other:`,
        ),
        ...conflict.map(({ value, device, time }, index) =>
          valueRow(value, index + 1, `   ${nameOf(device)}, ${dateAndTime(time)}`),
        ),
      ]
    if (kept !== undefined)
      return [
        row(printable(name), `${kept.length} values, which hold together:`),
        ...kept.map((value, index) => valueRow(value, index + 1, '')),
      ]
    return [row(printable(name), printable(view.fields.get(name)!))]
  })
  return [
    `${printable(view.id)} in ${printable(view.collection)}${view.deleted ? ' (deleted)' : ''}`,
    ...(view.resurrected
      ? [
          'It was deleted on one device while another one changed it, and was kept: please look at it.',
        ]
      : []),
    ...(view.links.length > 0 ? [`The same as ${linksText(view.links)}`] : []),
    ...(lines.length > 0 ? ['', ...lines] : []),
    ...(view.resurrected || view.conflicts.size > 0
      ? ['', 'haven conflicts shows how to settle this.']
      : []),
  ].join('\n')
}
