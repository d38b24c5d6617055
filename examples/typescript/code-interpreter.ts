// Python code in a sandbox whose state stays between runs.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets.
import { Daytona, DaytonaTimeoutError } from '@daytona/sdk'

async function main(): Promise<void> {
  const sandbox = await new Daytona().create()
  try {
    const { codeInterpreter } = sandbox

    await codeInterpreter.runCode('import math\nradius = 2')
    const area = await codeInterpreter.runCode('print(round(math.pi * radius**2, 2))')
    console.log('area:', area.stdout.trim())

    // Output comes while the code runs.
    await codeInterpreter.runCode("import time\nfor step in range(3):\n    print('step', step)\n    time.sleep(0.2)", {
      onStdout: (message) => void process.stdout.write(message.output),
    })

    const failed = await codeInterpreter.runCode('radius / 0')
    console.log(failed.error?.name, failed.error?.value)

    // A context of its own has its own variables.
    const context = await codeInterpreter.createContext('/tmp')
    try {
      await codeInterpreter.runCode('kept = 1\nwhile True: pass', { context, timeout: 1 })
    } catch (error) {
      if (!(error instanceof DaytonaTimeoutError)) throw error
      const after = await codeInterpreter.runCode('print(kept)', { context })
      console.log('after the timeout:', after.stdout.trim())
    }
    await codeInterpreter.deleteContext(context)
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
