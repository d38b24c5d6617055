import { Configuration, DockerRegistryApi } from '@daytona/api-client'
import { expect, test } from 'vitest'

import { uniqueName } from './server.js'

const api = new DockerRegistryApi(
  new Configuration({ basePath: process.env.DAYTONA_API_URL, baseOptions: { headers: { Authorization: `Bearer ${process.env.DAYTONA_API_KEY}` } } }),
)

test('a registry is kept without telling its password', async () => {
  const name = uniqueName()
  const { data: made, status } = await api.createRegistry({ name, url: 'registry.invalid:5000', username: 'me', password: 'a-secret', project: 'team' })
  try {
    expect(status).toBe(201)
    expect(made).toMatchObject({ name, url: 'registry.invalid:5000', username: 'me', project: 'team', registryType: 'organization' })
    expect(made).toHaveProperty('warning', expect.stringContaining('registry.invalid'))
    const { data: all } = await api.listRegistries()
    expect(all.map((r) => r.id)).toContain(made.id)
    expect(JSON.stringify([made, all])).not.toContain('a-secret')
    const { data: changed } = await api.updateRegistry(made.id, { name, url: made.url, username: 'you' })
    expect(changed).toMatchObject({ username: 'you', project: 'team' })
    expect((await api.getRegistry(made.id)).data.username).toBe('you')
  } finally {
    await api.deleteRegistry(made.id)
  }
  await expect(api.getRegistry(made.id)).rejects.toMatchObject({ response: { status: 404 } })
})
