import { DaytonaConflictError, DaytonaNotFoundError } from '@daytona/sdk'
import { expect, test } from 'vitest'

import { daytona, image, uniqueName, withSandbox } from './server.js'

test('an image becomes a snapshot, and that a sandbox', async () => {
  const name = uniqueName()
  const lines: string[] = []
  const snapshot = await daytona.snapshot.create(
    { name, image, resources: { cpu: 2, memory: 2, disk: 5 }, regionId: 'us' },
    { onLogs: (line) => lines.push(line) },
  )
  try {
    expect(snapshot).toMatchObject({ state: 'active', cpu: 2, mem: 2, disk: 5 })
    expect(lines.join('\n')).toContain(name)
    expect((await daytona.snapshot.get(name)).id).toBe(snapshot.id)
    const page = await daytona.snapshot.list(1, 1)
    expect(page.items).toHaveLength(1)
    expect(page.total).toBeGreaterThan(3)
    await expect(daytona.snapshot.create({ name, image })).rejects.toThrow(DaytonaConflictError)
    await expect(daytona.snapshot.activate(snapshot)).rejects.toThrow(/already active/)
    await withSandbox({ snapshot: name }, async (sandbox) => {
      expect((await sandbox.process.codeRun("print('hello')")).result).toBe('hello\n')
    })
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
  await expect.poll(() => daytona.snapshot.get(name).then(() => 'there', (e) => e instanceof DaytonaNotFoundError)).toBe(true)
})

test('an inactive snapshot can be activated', async () => {
  const name = uniqueName()
  const snapshot = await daytona.snapshot.create({ name, image })
  try {
    const answer = await fetch(`${process.env.DAYTONA_API_URL}/snapshots/${name}/deactivate`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${process.env.DAYTONA_API_KEY}` },
    })
    expect(answer.status).toBe(204)
    const inactive = await daytona.snapshot.get(name)
    expect(inactive.state).toBe('inactive')
    await daytona.snapshot.activate(inactive)
    await expect.poll(async () => (await daytona.snapshot.get(name)).state, { timeout: 60_000 }).toBe('active')
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})

test.each([
  ['python:latest', 'latest'],
  ['python', 'tag'],
  ['fixtures/none:1', 'not found'],
])('image %s is refused with a reason', async (ref, said) => {
  const name = uniqueName()
  await expect(daytona.snapshot.create({ name, image: ref })).rejects.toThrow(said)
  await daytona.snapshot.delete(name).catch((e: unknown) => {
    if (!(e instanceof DaytonaNotFoundError)) throw e
  })
})
