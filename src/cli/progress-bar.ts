import type { ImportProgress } from '../device/api.ts'
import { bytesText, countText } from './amounts.ts'
import type { Output } from './output.ts'
import { truncated } from './cells.ts'

const barCells = 24
/** Often enough to look alive, seldom enough to cost nothing. */
const redrawMs = 100

/** Disposing of it takes the bar away. */
export interface ProgressBar extends AsyncDisposable {
  update(progress: ImportProgress): void
}

/** How far an import is, on a terminal; nothing at all elsewhere. */
export function progressBar(
  output: Output,
  { totalBytes, nowMs }: { totalBytes: number | undefined; nowMs: () => number },
): ProgressBar {
  if (!output.isTerminal) return { update: () => {}, [Symbol.asyncDispose]: async () => {} }
  const startMs = nowMs()
  let drawnMs = -Infinity
  return {
    update(progress) {
      const now = nowMs()
      if (now - drawnMs < redrawMs) return
      drawnMs = now
      const text = progressText(progress, { totalBytes, elapsedMs: now - startMs })
      output.write(`\r\u001b[K${truncated(text, output.columns - 1)}`).catch(() => {})
    },
    [Symbol.asyncDispose]: () => output.write(drawnMs === -Infinity ? '' : '\r\u001b[K'),
  }
}

/** `████████░░░░░░░░░░░░░░░░  33 %   1,240 records   12 MB/s   4 s left` */
function progressText(
  { records, bytes }: ImportProgress,
  { totalBytes, elapsedMs }: { totalBytes: number | undefined; elapsedMs: number },
): string {
  const perSecond = elapsedMs > 0 ? (bytes * 1_000) / elapsedMs : 0
  const amounts = [countText(records, 'record'), `${bytesText(Math.round(perSecond))}/s`]
  if (totalBytes === undefined || totalBytes === 0) return amounts.join('   ')
  const part = Math.min(1, bytes / totalBytes)
  const filled = Math.round(part * barCells)
  const bar = '█'.repeat(filled) + '░'.repeat(barCells - filled)
  const left = perSecond > 0 ? [`${Math.ceil((totalBytes - bytes) / perSecond)} s left`] : []
  return [`${bar}  ${Math.floor(part * 100)} %`, ...amounts, ...left].join('   ')
}
