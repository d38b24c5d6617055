// A language server in a sandbox: the symbols of a project, and what may stand at a
// place in a file. Needs npm install @daytona/sdk, and DAYTONA_API_URL and
// DAYTONA_API_KEY, which eval "$(daytona env)" sets. The image needs pylsp; the
// default snapshots have it.
import { Daytona } from '@daytona/sdk'

const source = `class Greeter:
    def greet(self, name: str) -> str:
        return "hello " + name


g = Greeter()
g.
`

async function main(): Promise<void> {
  const sandbox = await new Daytona().create()
  try {
    await sandbox.fs.uploadFile(Buffer.from(source), 'project/greeter.py')
    const server = await sandbox.createLspServer('python', 'project')
    await server.start()

    await server.didOpen('project/greeter.py')
    for (const symbol of await server.documentSymbols('project/greeter.py')) {
      console.log(symbol.name, 'in line', symbol.location.range.start.line + 1)
    }
    // Lines and characters begin with 0.
    const completions = await server.completions('project/greeter.py', { line: 6, character: 2 })
    for (const item of completions.items) if (!item.label.startsWith('__')) console.log(`g.${item.label}`)
    await server.didClose('project/greeter.py')

    for (const symbol of await server.sandboxSymbols('Greeter')) console.log('found', symbol.name, 'in', symbol.location.uri)
    await server.stop()
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
