// Language servers: each method of the client is called.
import { DaytonaError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona } from './server.js'

const path = 'project/sample file é.py'
const source = `class Greeter:
    def greet(self, name):
        return "hello " + name


g = Greeter()
g.
`

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create()
  await sandbox.fs.uploadFile(Buffer.from(source), path)
})
afterAll(() => sandbox.delete())

test('a project from the start to the stop', async () => {
  const server = await sandbox.createLspServer('python', 'project')
  await expect(server.didOpen(path)).rejects.toMatchObject({ statusCode: 400 })
  await server.start()
  await server.start()
  await server.didOpen(path)

  const symbols = await server.documentSymbols(path)
  const greeter = symbols.find((symbol) => symbol.name === 'Greeter')
  expect(greeter).toMatchObject({ kind: 5, location: { range: { start: { line: 0 } } } })
  expect(greeter?.location.uri).toMatch(/^file:\/\/\/.*\/project\/sample%20file%20%C3%A9\.py$/)
  expect(symbols.map((symbol) => symbol.name)).toContain('greet')

  expect((await server.sandboxSymbols('greeter')).map((symbol) => symbol.name)).toEqual(['Greeter'])
  expect((await server.workspaceSymbols('Greeter')).map((symbol) => symbol.name)).toEqual(['Greeter'])
  expect(await server.sandboxSymbols('NobodyHasThis')).toEqual([])

  const completions = await server.completions(path, { line: 6, character: 2 })
  expect(completions.isIncomplete).toBe(false)
  expect(completions.items.map((item) => item.insertText)).toContain('greet')

  await server.didClose(path)
  await server.stop()
  await expect(server.stop()).rejects.toThrow(DaytonaError)
})
