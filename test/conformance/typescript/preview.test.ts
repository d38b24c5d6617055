import { request } from 'node:http'

import { expect, test } from 'vitest'

import { withSandbox } from './server.js'

const port = 8124

// fetchFrom asks the server at its port of this machine: not every resolver knows
// the names below localhost.
function fetchFrom(url: string, headers: Record<string, string> = {}): Promise<{ status?: number; text: string }> {
  const { host, port, pathname } = new URL(url)
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: pathname, headers: { Host: host, ...headers } }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (text += part))
      response.on('end', () => resolve({ status: response.statusCode, text }))
    })
      .on('error', reject)
      .end()
  })
}

test('previews open to tokens, signed URLs, and everybody when public', async () => {
  await withSandbox(undefined, async (sandbox) => {
    await sandbox.fs.uploadFile(Buffer.from('seen'), 'site/index.html')
    const started = await sandbox.process.executeCommand(
      `setsid python3 -m http.server ${port} --bind 127.0.0.1 --directory site >server.log 2>&1 & ` +
        `for i in $(seq 100); do (echo >/dev/tcp/127.0.0.1/${port}) 2>/dev/null && exit; sleep 0.1; done; exit 1`,
    )
    expect(started.exitCode, started.result).toBe(0)

    const link = await sandbox.getPreviewLink(port)
    expect(link.sandboxId).toBe(sandbox.id)
    expect(await fetchFrom(link.url, { 'x-daytona-preview-token': link.token })).toEqual({ status: 200, text: 'seen' })
    expect((await fetchFrom(link.url)).status).toBe(401)

    const signed = await sandbox.getSignedPreviewUrl(port, 600)
    expect(signed.port).toBe(port)
    expect(await fetchFrom(signed.url)).toEqual({ status: 200, text: 'seen' })
    await sandbox.expireSignedPreviewUrl(port, signed.token)
    expect((await fetchFrom(signed.url)).status).toBe(401)
  })
}, 60_000)
