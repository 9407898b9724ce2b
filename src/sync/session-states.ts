/**
 * The states of a session, as a table: everything that affects a transition stands here, and the diagram in docs/protocol.md is made
 * from it.
 */
export const sessionStates = [
  'new',
  'hello-sent',
  'awaiting-hello',
  'joining',
  'open',
  'closed',
] as const
export type SessionState = (typeof sessionStates)[number]

export type SessionEvent =
  | 'dialled'
  | 'accepted'
  | 'member-hello'
  | 'certificate-needed'
  | 'join-hello'
  | 'welcomed'
  | 'message'
  | 'refused'
  | 'late'
  | 'disconnected'

export const sessionTransitions: {
  readonly [S in SessionState]: { readonly [E in SessionEvent]?: SessionState }
} = {
  new: { dialled: 'hello-sent', accepted: 'awaiting-hello' },
  'hello-sent': {
    'member-hello': 'open',
    'certificate-needed': 'hello-sent',
    refused: 'closed',
    late: 'closed',
    disconnected: 'closed',
  },
  'awaiting-hello': {
    'member-hello': 'open',
    'certificate-needed': 'awaiting-hello',
    'join-hello': 'joining',
    refused: 'closed',
    late: 'closed',
    disconnected: 'closed',
  },
  joining: {
    message: 'joining',
    welcomed: 'closed',
    refused: 'closed',
    late: 'closed',
    disconnected: 'closed',
  },
  open: { message: 'open', refused: 'closed', late: 'closed', disconnected: 'closed' },
  closed: {},
}

/** The next state; undefined when the event has no place in this state (the peer is out of order). */
export function nextState(state: SessionState, event: SessionEvent): SessionState | undefined {
  return sessionTransitions[state][event]
}
