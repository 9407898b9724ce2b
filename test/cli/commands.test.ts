import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { HavenError } from '../../src/core/errors.ts'
import { serveLocally } from '../../src/daemon/local-server.ts'
import { fakeDevice, recordView } from './support/fake-device.ts'
import { runCli, temporaryDirectory } from './support/run-cli.ts'

const patient = '{"resourceType":"Patient","id":"1"}'

test('global options may stand before and after the command', async () => {
  const dataDir = temporaryDirectory()
  const before = await runCli(['--json', '--data', dataDir, 'list', 'patients'])
  const after = await runCli(['list', 'patients', '--data', dataDir, '--json'])
  expect(before.stdout).toBe('[{"id":"Patient/1"},{"id":"Patient/2"}]\n')
  expect(after.stdout).toBe(before.stdout)
  expect([before.opened[0]?.dataDir, after.opened[0]?.dataDir]).toEqual([dataDir, dataDir])
})

test('the passphrase comes from the environment', async () => {
  const { opened } = await runCli(['list', 'patients'], { env: { HAVEN_PASSPHRASE: 'secret' } })
  expect(opened[0]?.passphrase).toBe('secret')
})

test.each([
  [[]],
  [['nonsense']],
  [['get', 'patients']],
  [['get', 'patients', 'a', 'b']],
  [['list', 'patients', '--wrong']],
  [['init']],
  [['invite', '--role', 'king']],
  [['invite', '--ttl', 'soon']],
  [['set', 'patients', 'Patient/1']],
  [['set', 'patients', 'Patient/1', 'gender']],
  [['set', 'patients', 'Patient/1', '="female"']],
  [['set', 'patients', 'Patient/1', 'gender="a"', 'gender="b"']],
  [['import']],
  [['join']],
  [['recover']],
])('%j is wrong usage', async (args) => {
  const { exitCode, stdout, stderr, opened } = await runCli([...args, '--json'])
  expect(exitCode).toBe(2)
  expect(opened).toEqual([])
  expect(stderr).toMatch(/^haven: .+\n$/)
  expect(JSON.parse(stdout)).toEqual({ error: { code: 'USAGE', message: expect.any(String) } })
})

test.each([
  [['--help']],
  [['help']],
  [['invite', '--help']],
  [['--version']],
  [['--json', '--data', 'somewhere', '--version']],
])('%j is no failure', async (args) => {
  const { exitCode, stdout, stderr } = await runCli(args)
  expect([exitCode, stderr]).toEqual([0, ''])
  expect(stdout).not.toBe('')
})

test('a failure is one sentence, and with --json also a document', async () => {
  const plain = await runCli(['get', 'patients', 'Patient/9'])
  expect(plain).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: 'haven: There is no such record.\n',
  })
  const json = await runCli(['get', 'patients', 'Patient/9', '--json'])
  expect(json.exitCode).toBe(1)
  expect(JSON.parse(json.stdout)).toEqual({
    error: { code: 'NOT_FOUND', message: 'There is no such record.' },
  })
})

test('an unexpected error does not tell what it failed on', async () => {
  const device = fakeDevice({ list: () => Promise.reject(new TypeError('patient Ana Mejía')) })
  const { exitCode, stdout, stderr } = await runCli(['list', 'patients', '--json'], { device })
  expect(exitCode).toBe(1)
  expect(stdout + stderr).not.toContain('Mejía')
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INTERNAL' } })
})

test('a mistyped data directory is said, and not made', async () => {
  const dataDir = join(temporaryDirectory(), 'typo')
  for (const command of ['up', 'invite', 'list x', 'export']) {
    const { exitCode, stdout } = await runCli([...command.split(' '), '--data', dataDir, '--json'])
    expect(exitCode).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NOT_MEMBER' } })
  }
  const { exitCode, stdout } = await runCli(['status', '--data', dataDir, '--json'])
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ device: null, mesh: null, clock: { digest: null } })
  expect(existsSync(dataDir)).toBe(false)
})

test('init shows the recovery words', async () => {
  const args = ['init', '--mesh', 'Camp North', '--device', 'registration']
  const json = await runCli([...args, '--json'])
  expect(JSON.parse(json.stdout)).toEqual({
    mesh: { id: expect.any(String), name: 'Camp North' },
    device: { id: expect.any(String), name: 'registration', role: 'admin' },
    recovery: expect.stringContaining('abandon ability'),
  })
  const text = await runCli(args)
  expect(text.stdout).toContain('abandon ability')
  expect(text.device.asked.closed).toBe(1)
})

test('recover takes the words as one argument, as many, or from standard input', async () => {
  const heard: string[] = []
  const device = fakeDevice({
    recover: async ({ words }) => {
      heard.push(words)
      return { mesh: { id: 'a', name: null }, device: { id: 'b', name: null, role: 'admin' } }
    },
  })
  await runCli(['recover', '--words', 'one two three'], { device })
  await runCli(['recover', '--words', 'one', 'two', 'three', '--peer', '/ip4/10.0.0.1/tcp/4001'], {
    device,
  })
  await runCli(['recover', '--words', '-'], { device, stdin: ' one two\n three\n' })
  expect(heard).toEqual(['one two three', 'one two three', 'one two three'])
})

test('get prints values as they were written, conflicts and removals included', async () => {
  const view = recordView({
    fields: new Map([
      ['dose', '1.50'],
      ['__proto__', '{"x":1e400}'],
    ]),
    conflicts: new Map([
      [
        'dose',
        [
          {
            value: '1.50',
            device: { id: 'a', name: 'pharmacy' },
            time: '2026-11-22T10:00:00.000Z',
          },
          { value: undefined, device: { id: 'b', name: null }, time: '2026-11-22T09:00:00.000Z' },
        ],
      ],
    ]),
  })
  const device = fakeDevice({ get: async () => view })
  const { stdout } = await runCli(['get', 'patients', 'Patient/1', '--json'], { device })
  expect(stdout).toBe(
    '{"id":"Patient/1","collection":"patients","fields":{"dose":1.50,"__proto__":{"x":1e400}},' +
      '"conflicts":{"dose":[{"value":1.50,"device":{"id":"a","name":"pharmacy"},"time":"2026-11-22T10:00:00.000Z"},' +
      '{"value":null,"removed":true,"device":{"id":"b","name":null},"time":"2026-11-22T09:00:00.000Z"}]},"deleted":false,"version":"AQA"}\n',
  )
  const text = await runCli(['get', 'patients', 'Patient/1'], { device })
  expect(text.stdout).toMatch(
    /dose +2 values, written without seeing each other:\n +1 +1\.50 +pharmacy, /,
  )
  expect(text.stdout).toMatch(/2 +\(removed\) +b, /)
  expect(text.stdout).toContain('haven conflicts')
})

test('set hands over the text of each value, and what removes a field', async () => {
  const args = [
    'set',
    'patients',
    'Patient/1',
    'gender="female"',
    'note="a=b"',
    'dose=1.50',
    'old=',
  ]
  const { exitCode, stdout, device } = await runCli([...args, '--urgent', '--json'])
  expect(exitCode).toBe(0)
  expect(device.asked.written).toEqual([
    {
      collection: 'patients',
      id: 'Patient/1',
      fields: [
        ['gender', '"female"'],
        ['note', '"a=b"'],
        ['dose', '1.50'],
        ['old', undefined],
      ],
      urgent: true,
    },
  ])
  expect(JSON.parse(stdout)).toEqual({ id: 'Patient/1', commit: { feed: 'f3'.repeat(16), seq: 7 } })
})

test('export writes a line for each record', async () => {
  expect((await runCli(['export'])).stdout).toBe('{"a":1}\n{"a":2}\n')
})

test('import reads files, directories and standard input', async () => {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'b'))
  writeFileSync(join(directory, 'b', 'Patient.ndjson'), `${patient}\n`)
  writeFileSync(join(directory, 'c.json'), `\ufeff{"resourceType":"Bundle"}`)
  writeFileSync(join(directory, 'notes.txt'), 'not read')
  symlinkSync(directory, join(directory, 'b', 'circle.json'))
  const named = join(directory, 'notes.txt')
  const { device, exitCode } = await runCli(['import', directory, '-', named], {
    stdin: `${patient}\n`,
  })
  expect(exitCode).toBe(0)
  expect(device.asked.imported).toEqual([
    { name: join(directory, 'b', 'Patient.ndjson'), format: 'ndjson', text: `${patient}\n` },
    { name: join(directory, 'c.json'), format: 'json', text: '{"resourceType":"Bundle"}' },
    { name: '-', format: 'ndjson', text: `${patient}\n` },
    { name: named, format: 'json', text: 'not read' },
  ])
})

test('import reports paths that cannot be read, and goes on', async () => {
  const directory = temporaryDirectory()
  const good = join(directory, 'good.ndjson')
  const missing = join(directory, 'missing.ndjson')
  writeFileSync(good, `${patient}\n`)
  const { exitCode, stdout } = await runCli(['import', missing, good, '--json'])
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toEqual({
    records: 1,
    created: 1,
    unchanged: 0,
    newerHere: 0,
    deletedHere: 0,
    commits: 1,
    rejected: [
      {
        source: missing,
        line: 0,
        code: 'PATH_UNREADABLE',
        message: expect.stringContaining('nothing by this name'),
      },
    ],
  })
})

test('import says what stays as it is here, and how to have it otherwise', async () => {
  let choices: object = {}
  const device = fakeDevice({
    import: async (_sources, { onProgress: _onProgress, ...chosen } = {}) => {
      choices = chosen
      return {
        records: 3,
        created: 2,
        unchanged: 4,
        newerHere: 1,
        deletedHere: 2,
        commits: 0,
        rejected: [],
      }
    },
  })
  const { stdout } = await runCli(['import', '--dry-run', '--overwrite', '-'], { device })
  expect(choices).toEqual({ dryRun: true, overwrite: true })
  expect(stdout.split('\n')).toEqual([
    '3 records to be written, 2 of them new; 4 unchanged, 0 rejected.',
    '1 record here has other values that may be newer, and keeps them: --overwrite takes those of the files.',
    '2 records were deleted here, and stay so: --restore brings them back.',
    'Nothing was written.',
    '',
  ])
})

test('import fails when no path could be read, with one document that says both', async () => {
  const missing = join(temporaryDirectory(), 'missing.ndjson')
  const { exitCode, stdout, stderr } = await runCli(['import', missing, '--json'])
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/^haven: None of the paths/)
  expect(JSON.parse(stdout)).toMatchObject({
    records: 0,
    rejected: [{ source: missing }],
    error: { code: 'PATH_UNREADABLE' },
  })
})

test('import fails when every line was rejected, and not when there was none', async () => {
  const rejected = [
    { source: '-', line: 1, code: 'JSON_INVALID', message: 'It is no JSON.' },
  ] as const
  const device = fakeDevice({
    import: async () => ({
      records: 0,
      created: 0,
      unchanged: 0,
      newerHere: 0,
      deletedHere: 0,
      commits: 0,
      rejected: [...rejected],
    }),
  })
  const all = await runCli(['import', '-', '--json'], { device, stdin: 'x' })
  expect(all.exitCode).toBe(1)
  expect(JSON.parse(all.stdout)).toMatchObject({ rejected, error: { code: 'NOTHING_IMPORTED' } })
  expect((await runCli(['import', '-'], { stdin: '' })).exitCode).toBe(0)
})

test('invite waits, without a running device, until somebody has joined and has been told all', async () => {
  const member = { id: 'a7'.repeat(32), name: 'tablet', role: 'viewer' } as const
  const time = '2026-11-22T10:33:00.000Z'
  let hasLeft = false
  const device = fakeDevice({
    invitationUsed: async () => {
      // The conversation about joining ends; then it comes as a member, and goes.
      device.emit({ event: 'peer', time, device: member, state: 'IDLE', connected: false })
      setImmediate(() => {
        device.emit({ event: 'peer', time, device: member, state: 'SYNCING', connected: true })
        setImmediate(() => {
          hasLeft = true
          device.emit({ event: 'peer', time, device: member, state: 'IDLE', connected: false })
        })
      })
      return member
    },
  })
  const { exitCode, stdout } = await runCli(['invite', '--role', 'viewer', '--ttl', '2h'], {
    device,
  })
  expect(exitCode).toBe(0)
  expect(device.asked.invited).toEqual([{ role: 'viewer', ttlMs: 7_200_000 }])
  expect(stdout).toContain('haven join ABCDE-FGHJK')
  expect(stdout).toContain('tablet joined as viewer.')
  expect(hasLeft).toBe(true)
})

test('nothing starts where the keys of connections would be printed', async () => {
  const { exitCode, stderr, opened } = await runCli(['list', 'patients'], {
    env: { DUMP_SESSION_KEYS: '1' },
  })
  expect(exitCode).toBe(2)
  expect(stderr).toContain('unset it')
  expect(opened).toEqual([])
})

test('invite has said its code before it waits, and fails when nobody came', async () => {
  let saidBefore = ''
  let said = ''
  const device = fakeDevice({
    invitationUsed: async () => {
      saidBefore = said
      return null
    },
  })
  const { exitCode, stderr } = await runCli(['invite', '--json'], {
    device,
    onOutput: (text) => (said += text),
  })
  expect(exitCode).toBe(1)
  expect(stderr).toContain('Nobody joined in time')
  expect(JSON.parse(saidBefore)).toEqual({
    code: 'ABCDE-FGHJK',
    role: 'clinician',
    expires: '2026-11-22T10:42:00.000Z',
  })
  expect(said.slice(saidBefore.length)).toContain('"INVITATION_EXPIRED"')
})

test('status --watch prints a document whenever something changed', async () => {
  const stop = new AbortController()
  let printed = 0
  const { stdout } = await runCli(['status', '--watch', '--json'], {
    stop: stop.signal,
    onOutput: () => {
      printed++
      stop.abort()
    },
  })
  expect(printed).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({ device: { name: 'triage' } })
})

test('up prints events until it is stopped, and answers other commands meanwhile', async () => {
  const stop = new AbortController()
  const env = { HAVEN_DATA: temporaryDirectory(), XDG_RUNTIME_DIR: temporaryDirectory() }
  const device = fakeDevice({
    up: async () => {
      device.emit({
        event: 'ready',
        time: '2026-11-22T10:32:00.000Z',
        addresses: ['/ip4/10.0.0.5/tcp/4001'],
      })
      return { addresses: ['/ip4/10.0.0.5/tcp/4001'] }
    },
  })
  const ready = Promise.withResolvers<void>()
  const running = runCli(['up', '--json'], {
    device,
    env,
    stop: stop.signal,
    onOutput: () => ready.resolve(),
  })
  await ready.promise

  const other = await runCli(['list', 'patients', '--json'], { env })
  expect(other.opened).toEqual([])
  expect(other.stdout).toContain('Patient/1')
  expect((await runCli(['invite'], { env })).exitCode).toBe(0)
  expect((await runCli(['up', '--json'], { env })).stdout).toContain('STORE_BUSY')
  expect((await runCli(['init', '--mesh', 'x', '--json'], { env })).stdout).toContain(
    'ALREADY_MEMBER',
  )

  stop.abort()
  const { exitCode, stdout } = await running
  expect(exitCode).toBe(0)
  expect(stdout).toBe(
    '{"event":"ready","time":"2026-11-22T10:32:00.000Z","addresses":["/ip4/10.0.0.5/tcp/4001"]}\n',
  )
  expect(device.asked.closed).toBe(1)
})

test('a command that finds the store busy goes through the device that has just started', async () => {
  const env = { HAVEN_DATA: temporaryDirectory(), XDG_RUNTIME_DIR: temporaryDirectory() }
  let server: AsyncDisposable | undefined
  const { exitCode, stdout } = await runCli(['list', 'patients'], {
    env,
    createDevice: async ({ dataDir }) => {
      const starting = await serveLocally(fakeDevice(), { dataDir, env })
      server = { [Symbol.asyncDispose]: () => starting.close() }
      throw new HavenError('STORE_BUSY', 'Another command has it open.')
    },
  })
  await server?.[Symbol.asyncDispose]()
  expect([exitCode, stdout]).toEqual([0, 'Patient/1\nPatient/2\n'])
})
