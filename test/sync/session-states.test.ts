import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { nextState, sessionStates, sessionTransitions } from '../../src/sync/session-states.ts'
import type { SessionEvent, SessionState } from '../../src/sync/session-states.ts'

const transitions = sessionStates.flatMap((from) =>
  Object.entries(sessionTransitions[from]).map(([event, to]) => ({
    from,
    event: event as SessionEvent,
    to,
  })),
)

describe('the table of session states', () => {
  test('reaches every state from the first', () => {
    const reached = new Set<SessionState>(['new'])
    for (const from of reached)
      for (const step of transitions) if (step.from === from) reached.add(step.to)
    expect([...reached].toSorted()).toEqual([...sessionStates].toSorted())
  })

  test('leads to the end from every state in which a peer may be silent, go away or be refused', () => {
    for (const from of sessionStates.filter((state) => state !== 'new' && state !== 'closed')) {
      expect(nextState(from, 'disconnected')).toBe('closed')
      expect(nextState(from, 'refused')).toBe('closed')
      expect(nextState(from, 'late')).toBe('closed')
    }
  })

  test('opens a session by the hello of a member only', () => {
    const opening = transitions.filter(({ from, to }) => to === 'open' && from !== 'open')
    expect(new Set(opening.map(({ event }) => event))).toEqual(new Set(['member-hello']))
  })

  test('has no way out of the end', () => {
    expect(transitions.filter(({ from }) => from === 'closed')).toEqual([])
  })
})

// A vitest -u does not write it: paste what this test prints.
test('docs/protocol.md shows the states as they are', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/protocol.md'), 'utf8')
  const shown = /<!-- states: begin -->\n(.*?)<!-- states: end -->/s.exec(page)?.[1]
  expect(shown?.trim()).toBe(diagram())
})

function diagram(): string {
  const lines = [
    '```mermaid',
    'stateDiagram-v2',
    '    [*] --> new',
    ...transitions.map(({ from, event, to }) => `    ${id(from)} --> ${id(to)}: ${event}`),
    '    closed --> [*]',
    '```',
  ]
  return lines.join('\n')
}

/** Mermaid has no hyphens in ids. */
function id(state: SessionState): string {
  return state.replaceAll('-', '_')
}
