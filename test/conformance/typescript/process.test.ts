import type { Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona, uniqueName, withSandbox } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create({ envVars: { GIVEN: 'at creation' } })
})
afterAll(() => sandbox.delete())

test('executeCommand tells output and exit code', async () => {
  const answer = await sandbox.process.executeCommand('echo out; exit 3')
  expect(answer).toMatchObject({ exitCode: 3, result: 'out\n' })
})

test('executeCommand takes cwd, env and the variables of the sandbox', async () => {
  const answer = await sandbox.process.executeCommand('echo "$PWD $A $GIVEN"', '/tmp', { A: 'b c' })
  expect(answer.result).toBe('/tmp b c at creation\n')
})

test('executeCommand ends what takes too long', async () => {
  await expect(sandbox.process.executeCommand('sleep 977', undefined, undefined, 1)).rejects.toThrow()
  expect((await sandbox.process.executeCommand('ps ax')).result).not.toContain('sleep 977')
})

test('a million lines and any text', async () => {
  expect((await sandbox.process.executeCommand('seq 1000000')).result).toMatch(/\n1000000\n$/)
  expect((await sandbox.process.executeCommand('printf %s "$T"', undefined, { T: 'äöü € 日本語 \'"`$' })).result).toBe('äöü € 日本語 \'"`$')
})

test('codeRun of Python, and of other languages', async () => {
  expect(await sandbox.process.codeRun('import sys; print(sys.argv[1:])', { argv: ['x', 'y z'] })).toMatchObject({ exitCode: 0, result: "['x', 'y z']\n" })
  expect((await sandbox.process.codeRun('1/0')).result).toContain('ZeroDivisionError')
  for (const [language, code] of [['javascript', 'console.log(6 * 7)'], ['typescript', 'const n: number = 42; console.log(n)']] as const) {
    await withSandbox({ language }, async (s) => {
      expect(await s.process.codeRun(code)).toMatchObject({ exitCode: 0, result: '42\n' })
    })
  }
})

test('a session keeps its state', async () => {
  const session = uniqueName()
  await sandbox.process.createSession(session)
  await sandbox.process.executeSessionCommand(session, { command: 'cd /tmp && export KEPT=yes' })
  const answer = await sandbox.process.executeSessionCommand(session, { command: 'echo $PWD $KEPT; echo oops >&2; false' })
  expect(answer).toMatchObject({ exitCode: 1, stdout: '/tmp yes\n', stderr: 'oops\n' })
  expect((await sandbox.process.getSession(session)).commands?.map((c) => c.exitCode)).toEqual([0, 1])
  expect((await sandbox.process.listSessions()).map((s) => s.sessionId)).toContain(session)
  await sandbox.process.deleteSession(session)
  await expect(sandbox.process.getSession(session)).rejects.toThrow()
})

test('a session command takes input, and its logs can be followed', async () => {
  const session = uniqueName()
  await sandbox.process.createSession(session)
  const command = 'read line; for i in 1 2 3; do echo $line$i; echo err$i >&2; sleep 0.1; done'
  const started = await sandbox.process.executeSessionCommand(session, { command, runAsync: true })
  let out = ''
  let err = ''
  const followed = sandbox.process.getSessionCommandLogs(session, started.cmdId, (c) => (out += c), (c) => (err += c))
  await sandbox.process.sendSessionCommandInput(session, started.cmdId, 'in\n')
  await followed
  expect(out.split(/\s+/).filter(Boolean).slice(-3)).toEqual(['in1', 'in2', 'in3'])
  expect(err.split(/\s+/).filter(Boolean)).toEqual(['err1', 'err2', 'err3'])
  const logs = await sandbox.process.getSessionCommandLogs(session, started.cmdId)
  expect(logs.stderr).toBe('err1\nerr2\nerr3\n')
  expect((await sandbox.process.getSessionCommand(session, started.cmdId)).exitCode).toBe(0)
  await sandbox.process.deleteSession(session)
})

test('input that is not noted, commands that have ended, and a session that is deleted while one is awaited', async () => {
  const session = uniqueName()
  await sandbox.process.createSession(session)
  const { cmdId } = await sandbox.process.executeSessionCommand(session, { command: 'read line; echo got $line', runAsync: true, suppressInputEcho: true })
  await sandbox.process.sendSessionCommandInput(session, cmdId!, 'secret')
  await expect.poll(async () => (await sandbox.process.getSessionCommand(session, cmdId!)).exitCode, { timeout: 20_000 }).toBe(0)
  expect(await sandbox.process.getSessionCommandLogs(session, cmdId!)).toMatchObject({ output: 'got secret\n', stdout: 'got secret\n', stderr: '' })
  await expect(sandbox.process.sendSessionCommandInput(session, cmdId!, 'more')).rejects.toMatchObject({ statusCode: 410 })
  expect(await sandbox.process.executeSessionCommand(session, { command: 'cat; echo end' })).toMatchObject({ exitCode: 0, stdout: 'end\n' })

  const awaited = expect(sandbox.process.executeSessionCommand(session, { command: 'sleep 1000' })).rejects.toMatchObject({ statusCode: 410 })
  await expect.poll(async () => (await sandbox.process.getSession(session)).commands?.length, { timeout: 20_000 }).toBe(3)
  await sandbox.process.deleteSession(session)
  await awaited
  await expect(sandbox.process.getSession(session)).rejects.toMatchObject({ statusCode: 404 })
  await expect(sandbox.process.deleteSession('entrypoint')).rejects.toMatchObject({ statusCode: 400 })
})
