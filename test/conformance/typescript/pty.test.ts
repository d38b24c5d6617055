// Terminals: each method of the client is called.
import { DaytonaConnectionError, DaytonaNotFoundError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona, uniqueName } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create()
})
afterAll(() => sandbox.delete())

// seen collects output; shows waits for a text in it.
function screen() {
  const decoder = new TextDecoder()
  let text = ''
  return {
    onData: (data: Uint8Array) => {
      text += decoder.decode(data) // message by message: none ends within a character
    },
    shows: (wanted: string) => expect.poll(() => text, { timeout: 30_000 }).toContain(wanted),
  }
}

test('a terminal is made, used, left and ended', async () => {
  const id = uniqueName()
  const first = screen()
  const pty = await sandbox.process.createPty({ id, cwd: '/tmp', envs: { WHO: 'ä b' }, cols: 100, rows: 30, onData: first.onData })
  await pty.waitForConnection()
  expect(pty.sessionId).toBe(id)
  expect(pty.isConnected()).toBe(true)
  await expect(sandbox.process.createPty({ id, onData: first.onData })).rejects.toBeInstanceOf(DaytonaConnectionError) // the upgrade's 409

  const info = await sandbox.process.getPtySessionInfo(id)
  expect(info).toMatchObject({ id, cwd: '/tmp', cols: 100, rows: 30, active: true, lazyStart: false, envs: { WHO: 'ä b', TERM: 'xterm-256color' } })
  expect((await sandbox.process.listPtySessions()).map((one) => one.id)).toEqual([id])

  await pty.sendInput('echo "<$WHO>" $(stty size) $((6 * 7))\n')
  await first.shows('<ä b> 30 100 42\r\n')
  expect(await pty.resize(90, 20)).toMatchObject({ cols: 90, rows: 20 })
  expect(await sandbox.process.resizePtySession(id, 91, 21)).toMatchObject({ cols: 91, rows: 21 })
  await pty.sendInput(new TextEncoder().encode('stty size\n'))
  await first.shows('21 91\r\n')
  await pty.disconnect()

  const second = screen()
  const again = await sandbox.process.connectPty(id, { onData: second.onData })
  await again.waitForConnection()
  await second.shows('21 91\r\n') // what was there before
  await again.sendInput('exit 3\n')
  expect(await again.wait()).toEqual({ exitCode: 3, error: 'non-zero exit' })
  expect([again.exitCode, again.error]).toEqual([3, 'non-zero exit'])
  await expect(sandbox.process.getPtySessionInfo(id)).rejects.toBeInstanceOf(DaytonaNotFoundError)
})

test('killing a terminal ends it', async () => {
  const id = uniqueName()
  const pty = await sandbox.process.createPty({ id, onData: () => {} })
  await pty.kill()
  expect(await pty.wait()).toEqual({ exitCode: 137, error: 'SIGKILL' })
  await expect(sandbox.process.killPtySession(id)).rejects.toBeInstanceOf(DaytonaNotFoundError)
  const other = await sandbox.process.createPty({ id, onData: () => {} })
  await sandbox.process.killPtySession(id)
  expect(await other.wait()).toEqual({ exitCode: 137, error: 'SIGKILL' })
})
