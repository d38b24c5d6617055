import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'

import { DaytonaError, FileSystem, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create()
})
afterAll(() => sandbox.delete())

test('every call', async () => {
  const { fs } = sandbox
  await fs.createFolder('work/sub', '750')
  await fs.uploadFile(Buffer.from('one needle\ntwo\n'), 'work/a.txt')
  await fs.uploadFiles([0, 1].map((i) => ({ source: Buffer.from(`file ${i}`), destination: `work/sub/${i} ü.txt` })))
  const content = randomBytes(2 << 20)
  await fs.uploadFileStream(Readable.from([content]), 'work/stream.bin')

  expect(await fs.getFileDetails('work/sub')).toMatchObject({ name: 'sub', isDir: true, permissions: '0750', path: 'work/sub' })
  expect((await fs.listFiles('work')).map((f) => f.path).sort()).toEqual(['work/a.txt', 'work/stream.bin', 'work/sub'])
  expect((await fs.listFiles('work', { depth: 2 })).map((f) => f.path)).toContain('work/sub/1 ü.txt')
  expect((await fs.downloadFile('work/a.txt')).toString()).toBe('one needle\ntwo\n')
  expect((await buffer(await fs.downloadFileStream('work/stream.bin'))).equals(content)).toBe(true)
  const found = await fs.downloadFiles(['work/sub/0 ü.txt', 'work/none', '/etc/shadow'].map((source) => ({ source })))
  expect(found[0]?.result?.toString()).toBe('file 0')
  expect(found.slice(1).map((f) => f.errorDetails?.statusCode)).toEqual([404, 403])
  expect(await fs.findFiles('work', 'needle')).toMatchObject([{ file: 'work/a.txt', line: 1, content: 'one needle' }])
  expect((await fs.searchFiles('work', '*ü.txt')).files).toEqual(['work/sub/0 ü.txt', 'work/sub/1 ü.txt'])
  expect(await fs.replaceInFiles(['work/a.txt', 'work/none'], 'needle', 'pin')).toMatchObject([{ success: true }, { success: false }])
  await fs.setFilePermissions('work/a.txt', { mode: '600', owner: 'daytona' })
  expect((await fs.getFileDetails('work/a.txt')).permissions).toBe('0600')
  await fs.moveFiles('work/a.txt', 'work/b.txt')
  await expect(fs.uploadFiles([{ source: Buffer.from('x'), destination: '/root/x' }])).rejects.toThrow(DaytonaError)
  await expect(fs.deleteFile('work')).rejects.toThrow(DaytonaError)
  await fs.deleteFile('work', true)
  await expect(fs.listFiles('work')).rejects.toThrow(DaytonaError)

  expect(Object.getOwnPropertyNames(FileSystem.prototype).sort()).toEqual(
    ['constructor', 'makeFilePayload', 'createFolder', 'deleteFile', 'downloadFile', 'downloadFileStream', 'downloadFiles', 'findFiles', 'getFileDetails', 'listFiles',
      'moveFiles', 'replaceInFiles', 'searchFiles', 'setFilePermissions', 'uploadFile', 'uploadFileStream', 'uploadFiles'].sort())
})

test('signed URLs', async () => {
  const content = randomBytes(1 << 20)
  await sandbox.fs.uploadFile(content, 'dir/a b ü.bin')
  const download = await sandbox.downloadUrl('dir/a b ü.bin')
  const got = await fetch(download)
  expect(got.status).toBe(200)
  expect(Buffer.from(await got.arrayBuffer()).equals(content)).toBe(true)
  const forever = await sandbox.downloadUrl('dir/a b ü.bin', 0)
  expect((await fetch(forever, { method: 'HEAD' })).headers.get('content-length')).toBe(String(content.length))

  const upload = await sandbox.uploadUrl('new/in.txt', 60)
  const form = new FormData()
  form.append('file', new Blob(['of a form']), 'name')
  expect((await fetch(upload, { method: 'POST', body: form })).status).toBe(200)
  expect((await sandbox.fs.downloadFile('new/in.txt')).toString()).toBe('of a form')

  expect((await fetch(download.replace('dir', 'other'))).status).toBe(401)
  expect((await fetch(upload)).status).toBe(401)
  expect((await fetch(`${download}&path=x`)).status).toBe(400)
  await sandbox.rotateSigningKey()
  expect((await fetch(download)).status).toBe(401)
  expect((await fetch(await sandbox.downloadUrl('dir/a b ü.bin'))).status).toBe(200)
})
