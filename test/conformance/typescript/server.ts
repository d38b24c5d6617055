// What the tests share. DAYTONA_API_URL and DAYTONA_API_KEY name the server.
import { randomUUID } from 'node:crypto'

import { type CreateSandboxFromSnapshotParams, Daytona, type Sandbox } from '@daytona/sdk'

// An image that the server can pull, with Python.
export const image = process.env.DAYTONA_TEST_IMAGE ?? 'python:3.12.10-slim-bookworm'

export const daytona = new Daytona()

export const uniqueName = () => `test-${randomUUID().slice(0, 13)}`

// withSandbox lends a sandbox and deletes it afterwards.
export async function withSandbox(params: CreateSandboxFromSnapshotParams | undefined, use: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await daytona.create(params)
  try {
    await use(sandbox)
  } finally {
    await sandbox.delete()
  }
}
