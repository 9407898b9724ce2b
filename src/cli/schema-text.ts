import type { CollectionSchemas, SchemaFinding, SchemaVersion } from '../device/api.ts'
import { table } from './cells.ts'
import { nameOf } from './event-text.ts'
import { dateAndTime, printable } from './printable.ts'

/** `haven schema list` for people. */
export function schemasText(schemas: readonly CollectionSchemas[]): string {
  return schemas
    .map(({ collection, version, pinned, versions }) => {
      const how = pinned === null ? '' : `, whatever newer ones there are (haven schema pin)`
      const head = `${printable(collection)}: read and written by version ${version} here${how}`
      return `${head}\n${table(versions.toReversed().map(versionRow))}`
    })
    .join('\n\n')
}

function versionRow({ version, since, by, state }: SchemaVersion): string[] {
  const who = since === null || by === null ? 'built in' : `${dateAndTime(since)}, ${nameOf(by)}`
  return [`${version}`, who, stateText[state]]
}

const stateText: Record<SchemaVersion['state'], string> = {
  known: '',
  superseded: 'does not count: another admin had given this version before',
  'not-understood': 'not understood here: update this device, or let it meet another one',
}

const severityText: Record<SchemaFinding['severity'], string> = {
  error: 'Not possible:',
  loss: 'Lost:',
  note: 'Good to know:',
}

/** What was found, the gravest first. */
export function findingsText(findings: readonly SchemaFinding[]): string {
  return Object.entries(severityText)
    .map(([severity, title]) => {
      const lines = findings
        .filter((finding) => finding.severity === severity)
        .map(({ type, field, message }) => {
          const place = [type, field].filter((part) => part !== null).join('.')
          return `  ${place === '' ? '' : `${printable(place)}: `}${printable(message)}`
        })
      return lines.length === 0 ? '' : [title, ...lines].join('\n')
    })
    .filter((text) => text !== '')
    .join('\n\n')
}
