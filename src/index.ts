/** The public API of Havenmesh. */
export { createDevice } from './device/create-device.ts'
export type * from './device/api.ts'
export { HavenProvider } from './device/haven-provider.ts'
export type {
  HavenProviderEvents,
  HavenProviderOptions,
  ProviderStatus,
} from './device/haven-provider.ts'
export type { AwarenessLike } from './device/awareness-relay.ts'
export { HavenError, isHavenError } from './core/errors.ts'
export type { ErrorCode } from './core/errors.ts'
export { registerTransform } from './records/transforms.ts'
export type { Transform, Transformed } from './records/transforms.ts'
export { checkSchemas, schemaFormatText } from './device/schema-files.ts'
