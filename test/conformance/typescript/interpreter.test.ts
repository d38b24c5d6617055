import { type BarChart, type BoxAndWhiskerChart, type Chart, ChartType, type CompositeChart, type LineChart, type PieChart, type Sandbox, type ScatterChart } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create({ language: 'python' })
})
afterAll(() => sandbox.delete())

test('the state of the default context stays', async () => {
  const { codeInterpreter } = sandbox
  expect(await codeInterpreter.runCode('x = 40\nx')).toEqual({ stdout: '', stderr: '' })
  expect((await codeInterpreter.runCode('print(x + 2)')).stdout).toBe('42\n')
})

test('output comes in order, and errors have name, value and traceback', async () => {
  const seen: string[] = []
  const result = await sandbox.codeInterpreter.runCode("import os, sys\nprint('o', os.environ['E'])\nprint('e', file=sys.stderr)\nprint('ä' * 100_000)\nraise ValueError('v')", {
    envs: { E: 'a b' },
    onStdout: (m) => void seen.push(m.output),
    onStderr: (m) => void seen.push(m.output),
    onError: (e) => void seen.push(e.name),
  })
  expect(seen.slice(0, 2)).toEqual(['o a b\n', 'e\n'])
  expect(seen.at(-1)).toBe('ValueError')
  expect(result).toMatchObject({ stdout: `o a b\n${'ä'.repeat(100_000)}\n`, stderr: 'e\n', error: { name: 'ValueError', value: 'v' } })
  expect(result.error?.traceback).toContain('File "<stdin>", line 5, in <module>')
})

test('a timeout interrupts the code and the state stays; an end of the process is told', async () => {
  const { codeInterpreter } = sandbox
  await expect(codeInterpreter.runCode('y = 7\nwhile True: pass', { timeout: 1 })).rejects.toThrow(/timed out/i)
  expect((await codeInterpreter.runCode('print(y)', { timeout: 0 })).stdout).toBe('7\n')
  const ended = await codeInterpreter.runCode('import os; os._exit(3)')
  expect(ended.error?.value).toContain('exit code 3')
})

test('contexts are created, listed and deleted, and apart from each other', async () => {
  const { codeInterpreter } = sandbox
  const context = await codeInterpreter.createContext('/tmp')
  expect(context).toMatchObject({ cwd: '/tmp', language: 'python', active: true })
  expect((await codeInterpreter.listContexts()).map((c) => c.id)).toEqual([context.id])
  expect((await codeInterpreter.runCode('import os; print(os.getcwd())', { context })).stdout).toBe('/tmp\n')
  await codeInterpreter.deleteContext(context)
  expect(await codeInterpreter.listContexts()).toEqual([])
  await expect(codeInterpreter.runCode('1', { context })).rejects.toThrow(/does not exist/)
})

test('codeRun returns charts of every type', { timeout: 300_000 }, async () => {
  const installed = await sandbox.process.executeCommand('pip install -q --no-compile --user matplotlib 2>&1')
  expect(installed).toMatchObject({ exitCode: 0 })
  const answer = await sandbox.process.codeRun(`
import matplotlib.pyplot as plt
plt.plot([1, 2], [3, 4], label='l'); plt.title('L'); plt.show()
plt.scatter([1], [2]); plt.show()
plt.bar(['a'], [2.5], label='g'); plt.show()
plt.pie([1, 1], labels=['p', 'q']); plt.show()
plt.boxplot([1, 2, 3]); plt.show()
f, axes = plt.subplots(1, 2); axes[0].plot([1], [1]); f.suptitle('C'); plt.show()
plt.figure(); plt.show()
`)
  const charts = answer.artifacts?.charts as Chart[]
  expect(charts.map((c) => c.type)).toEqual([ChartType.LINE, ChartType.SCATTER, ChartType.BAR, ChartType.PIE, ChartType.BOX_AND_WHISKER, ChartType.COMPOSITE_CHART, ChartType.UNKNOWN])
  for (const chart of charts) expect(Buffer.from(chart.png ?? '', 'base64').subarray(1, 4).toString()).toBe('PNG')
  const [line, scatter, bar, pie, box, composite] = charts as [LineChart, ScatterChart, BarChart, PieChart, BoxAndWhiskerChart, CompositeChart]
  expect(line).toMatchObject({ title: 'L', elements: [{ label: 'l', points: [[1, 3], [2, 4]] }] })
  expect(scatter.elements).toMatchObject([{ points: [[1, 2]] }])
  expect(bar.elements).toMatchObject([{ label: 'a', group: 'g', value: '2.5' }])
  expect(pie.elements).toMatchObject([{ label: 'p', angle: 180, radius: 1 }, { label: 'q' }])
  expect(box.elements).toMatchObject([{ min: 1, median: 2, max: 3, outliers: [] }])
  expect(composite).toMatchObject({ title: 'C', elements: [{ type: 'line' }, { type: 'unknown' }] })
})
