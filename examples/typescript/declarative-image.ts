// An image described in code, built by the server, and a sandbox of it.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Daytona, Image } from '@daytona/sdk'

async function main(): Promise<void> {
  const daytona = new Daytona()
  const folder = await mkdtemp(join(tmpdir(), 'example-'))
  try {
    await writeFile(join(folder, 'main.py'), "import six\nprint('six', six.__version__)\n")
    const image = Image.base('python:3.12-slim-bookworm')
      .pipInstall('six==1.17.0')
      .addLocalFile(join(folder, 'main.py'), '/srv/app/main.py')
      .workdir('/srv/app')
    const sandbox = await daytona.create(
      { image, resources: { cpu: 1, memory: 1, disk: 3 } },
      { timeout: 300, onSnapshotCreateLogs: console.log },
    )
    try {
      const response = await sandbox.process.executeCommand('python3 main.py')
      console.log(response.result)
      if (response.exitCode !== 0) process.exitCode = 1
    } finally {
      await sandbox.delete()
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
