// What the server does not have yet is refused with a reason, not taken for something that is missing.
import type { Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { daytona } from './server.js'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create()
})
afterAll(() => sandbox.delete())

type Volume = Parameters<typeof daytona.volume.delete>[0]

test.each<[string, string, () => Promise<unknown>]>([
  ['volume.list', 'volumes', () => daytona.volume.list()],
  ['volume.get', 'volumes', () => daytona.volume.get('data', true)],
  ['volume.create', 'volumes', () => daytona.volume.create('data')],
  ['volume.delete', 'volumes', () => daytona.volume.delete({ id: 'data' } as Volume)],
  ['secret.list', 'secrets', () => daytona.secret.list({ limit: 5 })],
  ['secret.get', 'secrets', () => daytona.secret.get('one')],
  ['secret.create', 'secrets', () => daytona.secret.create({ name: 'ONE', value: 'x' })],
  ['secret.update', 'secrets', () => daytona.secret.update('one', { value: 'y' })],
  ['secret.delete', 'secrets', () => daytona.secret.delete('one')],
  ['updateSecrets', 'secrets', () => sandbox.updateSecrets({ ONE: 'one' })],
  ['createSshAccess', 'access by SSH', () => sandbox.createSshAccess(5)],
  ['revokeSshAccess', 'access by SSH', () => sandbox.revokeSshAccess('token')],
  ['validateSshAccess', 'access by SSH', () => sandbox.validateSshAccess('token')],
  ['archive', 'archives', () => sandbox.archive()],
  ['pause', 'way to pause', () => sandbox.pause()],
  ['setAutoPauseInterval', 'way to pause', () => sandbox.setAutoPauseInterval(5)],
  ['getMetrics', 'telemetry', () => sandbox.getMetrics()],
])('%s', async (_, why, call) => {
  await expect(call()).rejects.toThrow(new RegExp(`This server has no [a-z ]*${why}`))
})

test('a sandbox that is well has nothing to recover', async () => {
  await expect(sandbox.recover()).rejects.toThrow('is started, not in error')
})
