import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Image } from '@daytona/sdk'
import { expect, test } from 'vitest'

import { daytona, image, uniqueName, withSandbox } from './server.js'

test('a declarative image becomes a snapshot', async () => {
  const name = uniqueName()
  const lines: string[] = []
  const snapshot = await daytona.snapshot.create(
    { name, image: Image.debianSlim('3.12').env({ COLOUR: 'blue' }), resources: { cpu: 2, memory: 4, disk: 8 }, regionId: 'us' },
    { onLogs: (line) => lines.push(line) },
  )
  try {
    expect(snapshot).toMatchObject({ state: 'active', cpu: 2, mem: 4, disk: 8 })
    expect(lines.join('\n')).toContain('pip install')
    await withSandbox({ snapshot: name }, async (sandbox) => {
      expect((await sandbox.process.executeCommand('echo $COLOUR')).result).toBe('blue\n')
    })
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})

test('a sandbox brings its own image with files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'build-'))
  try {
    await mkdir(join(folder, 'app'))
    await writeFile(join(folder, 'app', 'data'), 'from a folder\n')
    await writeFile(join(folder, 'note.txt'), 'a note\n')
    const own = Image.base(image).addLocalFile(join(folder, 'note.txt'), '/srv/note.txt').addLocalDir(join(folder, 'app'), '/srv/app').workdir('/srv')
    const lines: string[] = []
    const sandbox = await daytona.create({ image: own, resources: { cpu: 1, memory: 1, disk: 3 } }, { timeout: 120, onSnapshotCreateLogs: (line) => lines.push(line) })
    try {
      expect((await sandbox.process.executeCommand('cat note.txt app/data')).result).toBe('a note\nfrom a folder\n')
    } finally {
      await sandbox.delete()
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
