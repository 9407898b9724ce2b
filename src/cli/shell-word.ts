import { printable } from './printable.ts'

/** A word of a command line as it has to be typed in a shell. */
export function shellWord(text: string): string {
  const word = printable(text)
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
