import { expect, test } from 'vitest'

import { dataDirectory } from '../../src/cli/data-dir.ts'

test.each([
  ['the option', '/o', { HAVEN_DATA: '/e', XDG_DATA_HOME: '/x', HOME: '/h' }, '/o'],
  ['HAVEN_DATA', undefined, { HAVEN_DATA: '/e', XDG_DATA_HOME: '/x', HOME: '/h' }, '/e'],
  ['the XDG data directory', undefined, { XDG_DATA_HOME: '/x', HOME: '/h' }, '/x/haven'],
  ['its default', undefined, { HOME: '/h' }, '/h/.local/share/haven'],
  [
    'its default, when it is not absolute',
    undefined,
    { XDG_DATA_HOME: 'x', HOME: '/h' },
    '/h/.local/share/haven',
  ],
])('the data directory comes from %s', (_, option, env, expected) => {
  expect(dataDirectory(option, env)).toBe(expected)
})
