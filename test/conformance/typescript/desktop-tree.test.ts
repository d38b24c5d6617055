// The accessibility tree and the recordings of a desktop: each method of the client is called.
import { readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { DaytonaConflictError, DaytonaNotFoundError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona, uniqueName } from './server.js'

const snapshot = process.env.DESKTOP_SNAPSHOT ?? 'desktop'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create({ snapshot }, { timeout: 120 })
  await sandbox.computerUse.start()
  await sandbox.fs.uploadFile(await readFile('../desktop_form.py'), 'form.py')
  await sandbox.process.executeCommand('setsid python3 form.py >form.log 2>&1 &')
}, 400_000)
afterAll(() => sandbox?.delete())

// one is the only node like that, which the form may have yet to show.
async function one(role: string, name: string) {
  const find = () => sandbox.computerUse.accessibility.findNodes({ scope: 'all', role, name, states: ['showing'] })
  await expect.poll(async () => (await find()).matches?.length, { timeout: 20_000 }).toBe(1)
  return (await find()).matches![0]!
}

test('a form is filled in through the tree', async () => {
  const tree = sandbox.computerUse.accessibility
  const entry = await one('text', 'Name')
  await tree.focusNode(entry.id!)
  await tree.setNodeValue(entry.id!, 'Ada 漢字')
  await tree.setNodeValue((await one('slider', 'Volume')).id!, '3')
  await tree.invokeNode((await one('check box', 'Agree')).id!, 'Click')
  await tree.invokeNode((await one('button', 'Greet')).id!)
  await one('label', 'Hello Ada 漢字, 3, True')

  const { root, truncated } = await tree.getTree({ scope: 'focused', maxDepth: 1 })
  expect(truncated).toBe(false)
  expect(root).toMatchObject({ role: 'application', name: 'form.py', states: [], children: [{ role: 'frame', name: 'Form' }] })
  expect(root!.children![0]!.children).toBeUndefined()
  await expect(tree.focusNode(':1.9999:/a')).rejects.toThrow(DaytonaNotFoundError)
  await expect(tree.getTree({ scope: 'pid', pid: 999_999 })).rejects.toThrow(DaytonaNotFoundError)
  await expect(tree.findNodes({ nameMatch: 'regex', name: '(' })).rejects.toThrow('regular expression')
})

test('recordings', async () => {
  const recordings = sandbox.computerUse.recording
  const started = await recordings.start('a form')
  expect(started).toMatchObject({ status: 'recording', fileName: expect.stringContaining('_a form_') })
  expect((await recordings.list()).recordings.map((r) => r.id)).toEqual([started.id])
  await expect(recordings.delete(started.id)).rejects.toThrow(DaytonaConflictError)
  const stopped = await recordings.stop(started.id)
  expect(stopped.status).toBe('completed')
  expect(await recordings.get(started.id)).toMatchObject({ id: started.id, status: 'completed', sizeBytes: stopped.sizeBytes })
  const local = join(tmpdir(), `${uniqueName()}.mp4`)
  await recordings.download(started.id, local)
  expect((await stat(local)).size).toBe(stopped.sizeBytes)
  await recordings.delete(started.id)
  await expect(recordings.get(started.id)).rejects.toThrow(DaytonaNotFoundError)
})
