// A terminal in a sandbox: type into it, change its size, see it end.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets.
import { Daytona } from '@daytona/sdk'

async function main(): Promise<void> {
  const sandbox = await new Daytona().create()
  try {
    const pty = await sandbox.process.createPty({
      id: 'work', cols: 100, rows: 30, envs: { NAME: 'Ada' },
      onData: (data) => {
        process.stdout.write(data)
      },
    })
    await pty.waitForConnection()
    await pty.resize(120, 40)
    await pty.sendInput('echo "$NAME has $(stty size)"; exit 3\n')
    const ended = await pty.wait()
    console.log('exit code', ended.exitCode)
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
