/** Text for a terminal. What other devices wrote must not be able to steer it. */

/**
 * Control characters, escape sequences, line and paragraph separators, and the marks that turn the direction of writing around
 * for what follows. Right-to-left script itself is untouched.
 */
// oxlint-disable-next-line no-control-regex
const steering = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** Shows each of them as its code (`\u001b`), so that nothing is hidden either. */
export function printable(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(
      steering,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
}

/** `10:32:05` by the local clock. */
export function timeOfDay(time: string): string {
  const date = new Date(time)
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}

/** `2026-11-22 10:32` by the local clock. */
export function dateAndTime(time: string): string {
  const date = new Date(time)
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()]
    .map((part) => String(part).padStart(2, '0'))
    .join('-')
  return `${day} ${timeOfDay(time).slice(0, 5)}`
}
