import { truncated, widthOf } from './cells.ts'
import type { Output } from './output.ts'

export interface LiveRegion {
  /**
   * Draws the lines over those drawn before, without clearing the screen in between, which would flicker. Each is cut to the
   * width of the terminal, and what has no room on it is left out.
   *
   * @param tail - lines below, to be copied by people: they are shown whole, on as many rows as it takes
   */
  draw(lines: readonly string[], tail?: readonly string[]): Promise<void>
}

/** A part of the terminal that changes in place. */
export function liveRegion(output: Output): LiveRegion {
  let shownRows = 0
  return {
    async draw(lines, tail = []) {
      const { columns, rows } = output
      // The cursor is on the row below the last; what has left the screen at the top can't be drawn over.
      const room = Math.max(1, rows - 1 - rowsOf(tail, columns))
      const whole = [...lines.slice(0, room).map((line) => truncated(line, columns - 1)), ...tail]
      const up = shownRows > 0 ? `\u001b[${shownRows}F` : ''
      shownRows = rowsOf(whole, columns)
      await output.write(`${up}${whole.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`)
    },
  }
}

/** The rows that lines take on a terminal. */
export function rowsOf(lines: readonly string[], columns: number): number {
  let rows = 0
  for (const line of lines) rows += Math.max(1, Math.ceil(widthOf(line) / columns))
  return rows
}
