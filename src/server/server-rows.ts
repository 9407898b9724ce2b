/** What a server writes into the store of a mesh about itself: meta rows below one prefix. */

export const serverRows = 'server/'

export const serverRowNames = {
  /** u64: when the mesh was registered, in ms since 1970. */
  since: `${serverRows}since`,
  /** u32 day · u64 bytes, by device: what it sent on the last day on which it sent anything. */
  sent: `${serverRows}sent/`,
  /** u64, by device: when it was last heard of, in ms since 1970. */
  contact: `${serverRows}contact/`,
  /** u64 commits · u64: how many there were when there were last more than before, and when that was, in ms since 1970. */
  arrived: `${serverRows}arrived`,
} as const
