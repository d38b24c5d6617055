import { Daytona, DaytonaAuthenticationError, DaytonaConflictError, DaytonaNotFoundError } from '@daytona/sdk'
import { expect, test } from 'vitest'

import { daytona, uniqueName, withSandbox } from './server.js'

test('create without parameters uses the default snapshot', () =>
  withSandbox(undefined, async (sandbox) => {
    expect(sandbox).toMatchObject({ state: 'started', cpu: 1, memory: 1, disk: 3, snapshot: 'daytona-small', autoStopInterval: 15 })
    expect(await sandbox.getUserHomeDir()).toBe('/home/daytona')
    expect(await sandbox.getWorkDir()).toBe('/home/daytona')
  }))

test('create with parameters, find and list it', async () => {
  const name = uniqueName()
  const params = { name, user: 'root', envVars: { COLOR: 'blue' }, labels: { run: name }, autoStopInterval: 0, autoDeleteInterval: 60 }
  await withSandbox(params, async (sandbox) => {
    expect((await sandbox.process.executeCommand('echo $COLOR $(id -un)')).result).toBe('blue root\n')
    expect((await daytona.get(name)).id).toBe(sandbox.id)
    const listed: string[] = []
    for await (const s of daytona.list({ labels: { run: name }, limit: 1 })) listed.push(s.id)
    expect(listed).toEqual([sandbox.id])
    await expect(daytona.create({ name })).rejects.toThrow(DaytonaConflictError)
  })
  await expect.poll(() => daytona.get(name).then(() => 'there', (e) => e instanceof DaytonaNotFoundError)).toBe(true)
})

test('stop and start keep the disk', () =>
  withSandbox(undefined, async (sandbox) => {
    await sandbox.fs.uploadFile(Buffer.from('kept'), 'kept.txt')
    await sandbox.stop()
    expect(sandbox.state).toBe('stopped')
    await expect(sandbox.process.executeCommand('true')).rejects.toThrow()
    await sandbox.start()
    expect(sandbox.state).toBe('started')
    expect((await sandbox.fs.downloadFile('kept.txt')).toString()).toBe('kept')
  }))

test('labels and intervals can be changed', () =>
  withSandbox(undefined, async (sandbox) => {
    expect(await sandbox.setLabels({ a: '1' })).toEqual({ a: '1' })
    await sandbox.setAutostopInterval(30)
    await sandbox.setAutoArchiveInterval(600)
    await sandbox.setAutoDeleteInterval(90)
    await sandbox.refreshData()
    expect(sandbox).toMatchObject({ labels: { a: '1' }, autoStopInterval: 30, autoArchiveInterval: 600, autoDeleteInterval: 90 })
  }))

test('errors have their class', async () => {
  await expect(daytona.get('00000000-0000-4000-8000-000000000000')).rejects.toThrow(DaytonaNotFoundError)
  await expect(daytona.create({ snapshot: 'no-such-snapshot' })).rejects.toThrow(DaytonaNotFoundError)
  const stranger = new Daytona({ apiKey: 'dtn_wrong', apiUrl: process.env.DAYTONA_API_URL! })
  await expect(stranger.get('x')).rejects.toThrow(DaytonaAuthenticationError)
})
