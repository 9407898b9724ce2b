/** The public API of Havenmesh. */
export type * from './device/api.ts'
export { HavenError, isHavenError } from './core/errors.ts'
export type { ErrorCode } from './core/errors.ts'
