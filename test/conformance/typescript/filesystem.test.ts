import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'

import { DaytonaNotFoundError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { daytona, uniqueName } from './server.js'

let sandbox: Sandbox
let folder: string
beforeAll(async () => {
  sandbox = await daytona.create()
})
beforeEach(async () => {
  folder = uniqueName()
  await sandbox.fs.createFolder(folder, '755')
})
afterAll(() => sandbox.delete())

test('files go up and come down', async () => {
  const content = randomBytes(3 << 20)
  await sandbox.fs.uploadFile(content, `${folder}/deep/er/file.bin`)
  expect((await sandbox.fs.downloadFile(`${folder}/deep/er/file.bin`)).equals(content)).toBe(true)
})

test('streams both ways', async () => {
  const content = randomBytes(5 << 20)
  await sandbox.fs.uploadFileStream(Readable.from([content]), `${folder}/stream.bin`)
  expect((await buffer(await sandbox.fs.downloadFileStream(`${folder}/stream.bin`))).equals(content)).toBe(true)
})

test('many files at once', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `${folder}/many/${i}.txt`)
  await sandbox.fs.uploadFiles(names.map((destination) => ({ source: Buffer.from(destination), destination })))
  const found = await sandbox.fs.downloadFiles([...names, `${folder}/missing`].map((source) => ({ source })))
  expect(found.slice(0, 20).map((f) => f.result?.toString())).toEqual(names)
  expect(found[20]?.error).toBeTruthy()
})

test('list, details, move and delete', async () => {
  await sandbox.fs.uploadFile(Buffer.from('12345'), `${folder}/five.txt`)
  await sandbox.fs.createFolder(`${folder}/sub`, '700')
  expect((await sandbox.fs.listFiles(folder)).map((f) => [f.name, f.isDir]).sort()).toEqual([['five.txt', false], ['sub', true]])
  expect(await sandbox.fs.getFileDetails(`${folder}/five.txt`)).toMatchObject({ name: 'five.txt', size: 5, owner: 'daytona' })
  await sandbox.fs.moveFiles(`${folder}/five.txt`, `${folder}/sub/5.txt`)
  await sandbox.fs.deleteFile(`${folder}/sub/5.txt`)
  await expect(sandbox.fs.getFileDetails(`${folder}/sub/5.txt`)).rejects.toThrow(DaytonaNotFoundError)
  await sandbox.fs.deleteFile(folder, true)
})

test('find, search, replace and permissions', async () => {
  await sandbox.fs.uploadFile(Buffer.from('one needle\nno\nneedle two\n'), `${folder}/a.txt`)
  expect((await sandbox.fs.findFiles(folder, 'needle')).map((m) => m.line)).toEqual([1, 3])
  expect((await sandbox.fs.searchFiles(folder, '*.txt')).files).toHaveLength(1)
  const replaced = await sandbox.fs.replaceInFiles([`${folder}/a.txt`], 'needle', 'pin')
  expect(replaced[0]?.success).toBe(true)
  expect((await sandbox.fs.downloadFile(`${folder}/a.txt`)).toString()).toBe('one pin\nno\npin two\n')
  await sandbox.fs.setFilePermissions(`${folder}/a.txt`, { mode: '600' })
  expect((await sandbox.process.executeCommand(`stat -c %a ${folder}/a.txt`)).result).toBe('600\n')
})
