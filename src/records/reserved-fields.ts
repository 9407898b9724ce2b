/**
 * Fields of Havenmesh's own, with names that begin with `~`. Nobody else writes them; they are no part of what a record shows, and say
 * nothing about whether it is there.
 */

export function isReserved(field: string): boolean {
  return field.startsWith('~')
}
