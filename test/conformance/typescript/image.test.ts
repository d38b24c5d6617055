import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { Configuration, ObjectStorageApi } from '@daytona/api-client'
import { Image } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { load } from './sdk.js'
import { daytona, image, uniqueName, withSandbox } from './server.js'

const small = { cpu: 1, memory: 1, disk: 3 }
let work: string

// wheel makes a wheel with one module that tells its version.
async function wheel(folder: string, name: string, version: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const make = `import sys, zipfile
folder, name, version = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {f"{name}.py": f"VERSION = {version!r}\\n", f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
         f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
files[f"{info}/RECORD"] = "".join(f"{f},,\\n" for f in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as z:
    for path, text in files.items():
        z.writestr(zipfile.ZipInfo(path), text)`
  await promisify(execFile)('python3', ['-c', make, folder, name, version])
}

// index makes a package index, which pip reads by file URLs.
async function index(folder: string, name: string, version: string): Promise<void> {
  await wheel(join(folder, name), name, version)
  const file = `${name}-${version}-py3-none-any.whl`
  await writeFile(join(folder, name, 'index.html'), `<!DOCTYPE html><html><body><a href="${file}">${file}</a></body></html>`)
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'image-'))
  await wheel(join(work, 'links'), 'linked', '1.0')
  await index(join(work, 'index'), 'alpha', '2.0rc1')
  await index(join(work, 'extra'), 'beta', '3.0')
  await writeFile(join(work, 'requirements.txt'), 'alpha\n')
  await writeFile(
    join(work, 'pyproject.toml'),
    '[project]\nname = "x"\nversion = "1"\ndependencies = []\n[project.optional-dependencies]\nmore = ["beta==3.0"]\n',
  )
  await mkdir(join(work, 'app', 'deep'), { recursive: true })
  await writeFile(join(work, 'app', 'run.sh'), '#!/bin/sh\necho ran\n')
  await chmod(join(work, 'app', 'run.sh'), 0o755)
  await writeFile(join(work, 'app', 'deep', 'data'), 'deep\n')
  await symlink('deep/data', join(work, 'app', 'link'))
  await writeFile(join(work, 'note.txt'), 'a note\n')
  await writeFile(
    join(work, 'Dockerfile'),
    `FROM ${image} AS one\nRUN echo built >/built\nFROM ${image}\nCOPY --from=one /built /built\nCOPY app /app\nCOPY note.txt pyproject.toml /notes/\nWORKDIR /notes\n`,
  )
})
afterAll(() => rm(work, { recursive: true }))

// everything is an image that uses every method of the builder.
function everything(): Image {
  const sources = { indexUrl: 'file:///pip/index', extraIndexUrls: ['file:///pip/extra'], extraOptions: '--no-cache-dir' }
  return Image.base(image)
    .addLocalDir(join(work, 'index'), '/pip/index')
    .addLocalDir(join(work, 'extra'), '/pip/extra')
    .addLocalDir(join(work, 'links'), '/pip/links')
    .pipInstall(['linked'], { findLinks: ['/pip/links'], extraOptions: '--no-index' })
    .pipInstallFromRequirements(join(work, 'requirements.txt'), { pre: true, ...sources })
    .pipInstallFromPyproject(join(work, 'pyproject.toml'), { optionalDependencies: ['more'], ...sources })
    .addLocalFile(join(work, 'note.txt'), '/srv/note.txt')
    .addLocalDir(join(work, 'app'), '/srv/app')
    .runCommands('echo one >/srv/one', ['sh', '-c', 'echo listed >/srv/listed'])
    .env({ COLOUR: 'deep blue' })
    .dockerfileCommands(['ARG KIND=extra', 'RUN echo $KIND >/srv/extra', 'COPY note.txt /srv/copied'], work)
    .workdir('/srv/app')
    .entrypoint(['sh', '-c'])
    .cmd(['echo started >/tmp/started; exec sleep infinity'])
}

// slowStep is a command that no cache has. The SDK tells nothing of a build that
// is over within its first second.
const slowStep = () => `sleep 2 # ${randomUUID()}`

const check = `python3 -c 'import linked, alpha, beta; print(linked.VERSION, alpha.VERSION, beta.VERSION)' && pwd && ./run.sh \
&& cat link ../note.txt ../copied ../one ../listed ../extra && echo $COLOUR && cat /tmp/started`
const checked = '1.0 2.0rc1 3.0\n/srv/app\nran\ndeep\na note\na note\none\nlisted\nextra\ndeep blue\nstarted\n'

test('everything of an image, in a snapshot', async () => {
  const name = uniqueName()
  const lines: string[] = []
  const snapshot = await daytona.snapshot.create({ name, image: everything().runCommands(slowStep()), resources: small }, { onLogs: (line) => lines.push(line) })
  try {
    expect(lines.join('\n')).toContain('pip install linked')
    await withSandbox({ snapshot: name }, async (sandbox) => {
      expect((await sandbox.process.executeCommand(check)).result).toBe(checked)
    })
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})

test('everything of an image, in a sandbox of its own', async () => {
  const sandbox = await daytona.create({ image: everything(), resources: small }, { timeout: 120 })
  try {
    expect((await sandbox.process.executeCommand(check)).result).toBe(checked)
  } finally {
    await sandbox.delete()
  }
})

test('a Dockerfile with files and folders, in a snapshot', async () => {
  const name = uniqueName()
  const lines: string[] = []
  const snapshot = await daytona.snapshot.create({ name, image: Image.fromDockerfile(join(work, 'Dockerfile')).runCommands(slowStep()) }, { onLogs: (line) => lines.push(line) })
  try {
    expect(lines.join('\n')).toContain('COPY app /app')
    await withSandbox({ snapshot: name }, async (sandbox) => {
      expect((await sandbox.process.executeCommand('cat /built /app/link && ls')).result).toBe('built\ndeep\nnote.txt\npyproject.toml\n')
    })
  } finally {
    await daytona.snapshot.delete(snapshot)
  }
})

test('each series of Debian slim has its base', async () => {
  for (const series of ['3.9', '3.10', '3.11', '3.12', '3.13'] as const) {
    const base = Image.debianSlim(series).dockerfile.split('\n')[0]?.replace('FROM ', '') ?? ''
    const snapshot = await daytona.snapshot.create({ name: uniqueName(), image: Image.base(base) })
    await daytona.snapshot.delete(snapshot)
    expect(snapshot.state).toBe('active')
  }
})

test('large files are sent in parts', async () => {
  await writeFile(join(work, 'big'), Buffer.alloc(17 << 20, 'large '))
  const sandbox = await daytona.create({ image: Image.base(image).addLocalFile(join(work, 'big'), '/big'), resources: small }, { timeout: 120 })
  try {
    expect((await sandbox.process.executeCommand('stat -c %s /big')).result).toBe(`${17 << 20}\n`)
  } finally {
    await sandbox.delete()
  }
})

test('what an image copies is uploaded once, by its content', async () => {
  const note = join(work, 'note.txt')
  const copying = Image.base(image).addLocalFile(note, '/note')
  expect(copying.contextList.map((c) => c.sourcePath)).toEqual([note])
  const headers = { Authorization: `Bearer ${process.env.DAYTONA_API_KEY}` }
  const api = new ObjectStorageApi(new Configuration({ basePath: process.env.DAYTONA_API_URL, baseOptions: { headers } }))
  const service = daytona.snapshot.constructor as unknown as {
    processImageContext: (api: ObjectStorageApi, image: Image) => Promise<string[]>
  }
  const hashes = await service.processImageContext(api, copying)
  const { data: access } = await api.getPushAccess()
  const { ObjectStorage } = (await load('ObjectStorage.js')) as unknown as {
    ObjectStorage: new (config: object) => { upload: (path: string, organization: string, inside: string) => Promise<string> }
  }
  const storage = new ObjectStorage({
    endpointUrl: access.storageUrl,
    accessKeyId: access.accessKey,
    secretAccessKey: access.secret,
    sessionToken: access.sessionToken,
    bucketName: access.bucket,
    region: access.region,
  })
  expect([await storage.upload(note, access.organizationId, copying.contextList[0]!.archivePath)]).toEqual(hashes)
  expect(await service.processImageContext(api, copying)).toEqual(hashes)
})
