/** A row whose bytes are not those that were written. It is left out of whatever is read. */
export type Damage =
  | { readonly row: 'commit' | 'context'; readonly feed: string; readonly seq: number }
  | { readonly row: 'descriptor' | 'chain'; readonly feed: string }
  | { readonly row: 'meta'; readonly name: string }
  | { readonly row: 'secret' }
  /** Of a known collection when it was asked for, not when the background check came across it. */
  | { readonly row: 'record'; readonly collection: string | undefined }
  /** A whole part of a file: what was in it is not known. */
  | { readonly row: 'unknown' }
