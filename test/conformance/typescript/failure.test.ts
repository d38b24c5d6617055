// What fails says why, whichever way it is waited for.
import { Image } from '@daytona/sdk'
import { expect, test } from 'vitest'

import { daytona, image, uniqueName } from './server.js'

const missing = 'nobody/has-this:1.0'

// Builds that fail in milliseconds, and after a while, with what their reasons say.
const builds: [string, Image, string][] = [
  ['whose image is missing', Image.base(missing), missing],
  ['that cannot be read', Image.base(image).dockerfileCommands(['NONSENSE here']), 'NONSENSE'],
  ['whose step fails', Image.base(image).runCommands('sleep 2; exit 7'), 'exit code 7'],
]

async function remove(name: string): Promise<void> {
  for await (const sandbox of daytona.list({ labels: { test: name } })) {
    await sandbox.delete()
  }
  for (const snapshot of (await daytona.snapshot.list(1, 200)).items) {
    if (snapshot.name === name) await daytona.snapshot.delete(snapshot)
  }
}

for (const logs of [false, true]) {
  for (const [what, built, why] of builds) {
    test(`a build ${what} says why, ${logs ? 'with' : 'without'} its log`, async () => {
      const name = uniqueName()
      const lines: string[] = []
      const onLine = logs ? (line: string) => void lines.push(line) : undefined
      try {
        await expect(daytona.snapshot.create({ name, image: built }, { onLogs: onLine })).rejects.toThrow(why)
        if (logs) expect(lines.join('\n')).toContain(why)
        lines.length = 0
        const failing = daytona.create({ image: built, labels: { test: name } }, { timeout: 120, onSnapshotCreateLogs: onLine })
        await expect(failing).rejects.toThrow(why)
        if (logs) expect(lines.join('\n')).toContain(why)
      } finally {
        await remove(name)
      }
    })
  }

  test(`a pull that fails says why, ${logs ? 'with' : 'without'} a log`, async () => {
    const name = uniqueName()
    try {
      const pulling = daytona.snapshot.create({ name, image: missing }, { onLogs: logs ? () => undefined : undefined })
      await expect(pulling).rejects.toThrow(missing)
      await expect(daytona.create({ snapshot: name })).rejects.toThrow(name)
    } finally {
      await remove(name)
    }
  })
}
