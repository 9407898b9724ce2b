import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const root = join(import.meta.dirname, '..', '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const main = join(root, 'src', 'cli', 'main.ts')
const minuteMs = 60_000

/** Commands of the README that say on which device they are typed, in their order. */
const commands = [...readme.matchAll(/^```sh device=(\w+)\n(.*?)^```$/gms)].flatMap(
  ([, device, block]) =>
    block!
      .trim()
      .split('\n')
      .map((command) => ({ device: device!, command })),
)

test('the two devices of the README do what it says', { timeout: 3 * minuteMs }, async () => {
  const place = temporaryPlace()
  let code = ''
  expect(commands.length).toBeGreaterThan(5)
  for (const { device, command } of commands) {
    const line = command
      .replaceAll('npx haven', `"${process.execPath}" "${main}"`)
      .replace('join CODE', `join ${code}`)
    if (command === 'npx haven up') await up(line, environment(place, device), place)
    else {
      const said = await typed(line, environment(place, device), place)
      code = /haven join (\S+)/.exec(said)?.[1] ?? code
    }
  }
  const exported = readFileSync(join(place, 'patients.ndjson'), 'utf8').trim().split('\n')
  expect(exported.map((line) => JSON.parse(line) as object)).toContainEqual({
    resourceType: 'Patient',
    id: 'anna',
    name: [{ text: 'Anna' }],
    gender: 'female',
    birthDate: '1994-05-01',
  })
})

test('the TypeScript of the README runs', { timeout: minuteMs }, async () => {
  const [, example] = /^```ts\n(.*?)^```$/ms.exec(readme)!
  const place = temporaryPlace()
  const source = example!.replace("'havenmesh'", JSON.stringify(join(root, 'src', 'index.ts')))
  writeFileSync(join(place, 'example.ts'), source)
  const { stdout } = await promisify(execFile)(process.execPath, ['example.ts'], {
    cwd: place,
    env: environment(place, 'library'),
  })
  expect(stdout).toContain('"female" 0')
})

test('the provider of the README stores what is typed', { timeout: minuteMs }, async () => {
  const [, example] = /^```ts provider\n(.*?)^```$/ms.exec(readme)!
  const place = temporaryPlace()
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  const source = example!.replace("'havenmesh'", JSON.stringify(join(root, 'src', 'index.ts')))
  const look = `console.log((await device.doc('patients', 'Patient/anna')).getText('note').toJSON())`
  writeFileSync(join(place, 'example.ts'), `${source}\n${look}\n`)
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['example.ts'], {
    cwd: place,
    env: environment(place, 'provider'),
  })
  expect(stdout).toBe('Fever since Monday.\n')
  expect(stderr).not.toContain('Yjs')
})

/** A command that depends on what is still on its way is typed again, as a person would. */
async function typed(command: string, env: NodeJS.ProcessEnv, cwd: string): Promise<string> {
  for (let attempt = 1; ; attempt++)
    try {
      const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd, env })
      return stdout
    } catch (error) {
      if (attempt === 20 || !String(error).includes('no such record')) throw error
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
}

/** Starts `haven up` and waits until it says that it runs. */
async function up(command: string, env: NodeJS.ProcessEnv, cwd: string): Promise<void> {
  const child = spawn('sh', ['-c', `exec ${command}`], { cwd, env })
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.on('close', resolve))
    child.kill('SIGTERM')
    await ended
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: unknown) => {
      said += String(chunk)
      if (said.includes('is running')) resolve()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('close', () => reject(new Error(`haven up ended: ${said}`)))
  })
}

function environment(place: string, device: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    HAVEN_DATA: join(place, device),
    XDG_STATE_HOME: join(place, 'state'),
  }
}

/** A directory in which the paths of the README exist. */
function temporaryPlace(): string {
  const place = mkdtempSync(join(tmpdir(), 'haven-readme-'))
  onTestFinished(() => rmSync(place, { recursive: true, force: true }))
  symlinkSync(join(root, 'src'), join(place, 'src'))
  return place
}
