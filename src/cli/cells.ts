/** Text in the cells of a terminal. */

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
/** Scripts and signs that take two cells, by the ranges of Unicode's East Asian Width. */
const wide =
  /^(?:[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation})/u

export function widthOf(text: string): number {
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += wide.test(segment) ? 2 : 1
  return width
}

/** Cuts to a width, which `…` then marks. */
export function truncated(text: string, width: number): string {
  // No grapheme is shorter than one unit, and most text is short.
  if (text.length * 2 <= width || widthOf(text) <= width) return text
  let kept = ''
  let left = width - 1
  for (const { segment } of graphemes.segment(text)) {
    left -= wide.test(segment) ? 2 : 1
    if (left < 0) break
    kept += segment
  }
  return `${kept}…`
}

/** In lines of at most a width, broken after a space, or a comma of JSON, where there is one in the second half of a line. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  let lineWidth = 0
  /** Where the line may end. */
  let breakAt = 0
  for (const { segment } of graphemes.segment(text)) {
    const cells = wide.test(segment) ? 2 : 1
    if (lineWidth + cells > width) {
      const end = breakAt > line.length / 2 ? breakAt : line.length
      lines.push(line.slice(0, end).trimEnd())
      line = line.slice(end)
      lineWidth = widthOf(line)
      breakAt = 0
    }
    line += segment
    lineWidth += cells
    if (segment === ' ' || segment === ',') breakAt = line.length
  }
  return [...lines, line]
}

/** Rows with their columns aligned; the last column is not padded. */
export function table(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell))
    })
  return rows
    .map(
      (row) =>
        indent +
        row
          .map((cell, column) => padded(cell, widths[column]!))
          .join('   ')
          .trimEnd(),
    )
    .join('\n')
}

export function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}
