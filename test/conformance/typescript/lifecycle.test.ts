import { DaytonaNotFoundError, Image, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona, image, uniqueName, withSandbox } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create()
})
afterAll(() => sandbox.delete())

async function run(on: Sandbox, command: string): Promise<string> {
  const answer = await on.process.executeCommand(command)
  expect(answer.exitCode, answer.result).toBe(0)
  return answer.result.trim()
}

test('the client stops, starts and deletes', async () => {
  const own = await daytona.create()
  await daytona.stop(own)
  await own.waitUntilStopped()
  expect(own.state).toBe('stopped')
  await daytona.start(own)
  await own.waitUntilStarted()
  expect(await run(own, 'echo started')).toBe('started')
  await own.stop(60, true)
  expect((await daytona.get(own.id)).state).toBe('stopped')
  await daytona.delete(own, 60, true)
  await expect(daytona.get(own.id)).rejects.toThrow(DaytonaNotFoundError)
})

test('a time to live is counted from now', async () => {
  await sandbox.setTtl(90)
  await sandbox.refreshData()
  const minutes = (new Date(sandbox.autoDestroyAt!).getTime() - Date.now()) / 60_000
  expect(minutes).toBeGreaterThan(89)
  expect(minutes).toBeLessThanOrEqual(90.1)
  await sandbox.setTtl(0)
  await sandbox.refreshData()
  expect(sandbox.autoDestroyAt ?? null).toBe(null)
})

test('activity is told', async () => {
  const before = (await daytona.get(sandbox.id)).lastActivityAt!
  await new Promise((resolve) => setTimeout(resolve, 10))
  await sandbox.refreshActivity()
  expect(new Date((await daytona.get(sandbox.id)).lastActivityAt!).getTime()).toBeGreaterThan(new Date(before).getTime())
})

test('network and environment are changed while the sandbox runs', async () => {
  await sandbox.updateNetworkSettings({ networkAllowList: '198.18.0.0/15' })
  expect((await daytona.get(sandbox.id)).networkAllowList).toBe('198.18.0.0/15')
  await sandbox.updateNetworkSettings({ networkBlockAll: false, networkAllowList: '' })
  await sandbox.updateEnv({ NEW: 'a b=c', GONE: 'x' })
  expect(await run(sandbox, 'echo "$NEW-$GONE"')).toBe('a b=c-x')
  await sandbox.updateEnv({ NEW: 'd' }, { unset: ['GONE'] })
  expect(await run(sandbox, 'echo "$NEW-${GONE-none}"')).toBe('d-none')
})

test('resize', async () => {
  await sandbox.resize({ cpu: 2, memory: 2 })
  await sandbox.waitForResizeComplete()
  expect(sandbox).toMatchObject({ cpu: 2, memory: 2, disk: 3 })
  expect(await sandbox.getMetricsLatest()).toMatchObject({ cpuCount: 2, memTotal: 2 * 2 ** 30, diskTotal: 3 * 2 ** 30 })
})

test('the root directory of old programs is the home directory', async () => {
  expect(await sandbox.getUserRootDir()).toBe('/home/daytona')
})

test('forks and a snapshot have the files', async () => {
  await run(sandbox, 'echo kept >file')
  for (const fork of [await sandbox.fork({ name: uniqueName() }), await daytona.fork(sandbox)]) {
    expect(fork.id).not.toBe(sandbox.id)
    expect(await run(fork, 'cat file')).toBe('kept')
    await fork.delete()
  }
  const name = uniqueName()
  await sandbox.createSnapshot(name)
  try {
    await withSandbox({ snapshot: name }, async (made) => expect(await run(made, 'cat file')).toBe('kept'))
  } finally {
    await daytona.snapshot.delete(name)
  }
})

test('warm pools', async () => {
  const name = uniqueName()
  const snapshot = await daytona.snapshot.create({ name, image: Image.base(image) })
  try {
    const pool = await daytona.warmPool.create({ snapshot: name, pool: 0 })
    expect(pool).toMatchObject({ snapshot: name, pool: 0, currentSize: 0 })
    expect(await daytona.warmPool.update(pool.id, { pool: 1 })).toMatchObject({ id: pool.id, pool: 1 })
    expect((await daytona.warmPool.list()).find((p) => p.id === pool.id)).toMatchObject({ pool: 1 })
    await daytona.warmPool.delete(pool.id)
    expect((await daytona.warmPool.list()).map((p) => p.id)).not.toContain(pool.id)
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})

test('the logs of an entrypoint', async () => {
  const name = uniqueName()
  const snapshot = await daytona.snapshot.create({ name, image, entrypoint: ['sh', '-c', 'echo out; echo err >&2; exit 3'] })
  try {
    await withSandbox({ snapshot: name }, async ({ process }) => {
      let out = ''
      let err = ''
      await process.getEntrypointLogs((c) => (out += c), (c) => (err += c))
      expect([out, err]).toEqual(['out\n', 'err\n'])
      expect(await process.getEntrypointLogs()).toMatchObject({ stdout: 'out\n', stderr: 'err\n' })
      expect((await process.getEntrypointSession()).commands?.map((c) => c.exitCode)).toEqual([3])
    })
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})
