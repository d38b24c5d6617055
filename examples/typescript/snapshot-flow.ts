// From an image to a snapshot, to a sandbox, to code that runs.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets.
import { Daytona } from '@daytona/sdk'

async function main(): Promise<void> {
  const daytona = new Daytona()
  const snapshot = await daytona.snapshot.create(
    { name: 'example-typescript', image: 'python:3.11-slim', resources: { cpu: 2, memory: 2, disk: 4 }, regionId: 'us' },
    { onLogs: console.log },
  )
  try {
    const sandbox = await daytona.create({ snapshot: snapshot.name })
    try {
      console.log((await sandbox.process.codeRun("print('Hello from a sandbox!')")).result)
      await sandbox.fs.uploadFile(Buffer.from('kept on its disk\n'), 'note.txt')
      await sandbox.stop()
      await sandbox.start()
      console.log((await sandbox.fs.downloadFile('note.txt')).toString())
    } finally {
      await sandbox.delete()
    }
    const result = await daytona.snapshot.list(1, 10)
    console.log(`Found ${result.total} snapshots`)
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
