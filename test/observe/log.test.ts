import { expect, test } from 'vitest'

import { isLogged, logLevel } from '../../src/observe/log-level.ts'
import { createLog, type LogEvent } from '../../src/observe/log.ts'

test('writes what happened, with who, where and how much', () => {
  const [line] = logged({
    level: 'warn',
    code: 'REVOKED',
    message: 'A peer was refused.',
    device: 'd1',
    bytes: 7,
  })
  expect(line).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    code: 'REVOKED',
    device: 'd1',
    bytes: 7,
    msg: 'A peer was refused.',
  })
})

test('never writes what is not known to be harmless', () => {
  const [line] = logged({
    level: 'error',
    code: 'INTERNAL',
    message: 'It failed.',
    value: 'Ana Mejía',
    record: { name: 'Ana Mejía' },
    key: new Uint8Array([1]),
    cause: new Error('unexpected token in "Ana Mejía"'),
    error: { name: 'Ana Mejía' },
  })
  expect(JSON.stringify(line)).not.toContain('Mejía')
  expect(line).toMatchObject({ value: '[redacted]', key: '[redacted]', cause: 'Error' })
})

test('HAVEN_LOG says how much', () => {
  expect([logLevel(undefined), logLevel('loud'), logLevel('DEBUG')]).toEqual([
    'warn',
    'warn',
    'debug',
  ])
  expect([
    isLogged('error', 'warn'),
    isLogged('info', 'warn'),
    isLogged('error', 'silent'),
  ]).toEqual([true, false, false])
  expect(logged({ level: 'info', code: 'A', message: 'a' })).toEqual([])
})

function logged(event: LogEvent): unknown[] {
  const lines: unknown[] = []
  createLog('warn', { write: (line) => lines.push(JSON.parse(line)) })(event)
  return lines
}
