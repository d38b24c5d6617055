// Files of a sandbox: upload, list, search, change and download them, and share
// one by a signed URL.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets.
import { Readable } from 'node:stream'

import { Daytona } from '@daytona/sdk'

async function main(): Promise<void> {
  const sandbox = await new Daytona().create()
  try {
    const { fs } = sandbox
    await fs.createFolder('project/data', '755')
    await fs.uploadFile(Buffer.from("print('hello')  # TODO: greet\n"), 'project/main.py')
    await fs.uploadFiles([0, 1, 2].map((i) => ({ source: Buffer.from(`row ${i}\n`), destination: `project/data/${i}.csv` })))
    await fs.uploadFileStream(Readable.from([Buffer.alloc(1_000_000)]), 'project/data/large.bin')

    for (const file of await fs.listFiles('project', { depth: 2 })) console.log(file.permissions, file.size, file.path)
    for (const match of await fs.findFiles('project', 'TODO')) console.log(`${match.file}:${match.line}: ${match.content}`)
    await fs.replaceInFiles(['project/main.py'], 'TODO: greet', 'greets')
    console.log((await fs.searchFiles('project', '*.csv')).files)

    console.log((await fs.downloadFile('project/main.py')).toString())
    for (const answer of await fs.downloadFiles([{ source: 'project/data/0.csv' }, { source: 'missing' }])) {
      console.log(answer.source, answer.result?.toString() ?? answer.error)
    }
    let size = 0
    for await (const chunk of await fs.downloadFileStream('project/data/large.bin')) size += (chunk as Buffer).length
    console.log(size, 'bytes')

    // Whoever has these URLs needs no API key.
    const upload = await sandbox.uploadUrl('project/data/shared.txt', 60)
    await fetch(upload, { method: 'POST', body: 'shared' })
    const download = await sandbox.downloadUrl('project/data/shared.txt')
    console.log(await (await fetch(download)).text())
    await sandbox.rotateSigningKey() // ends all of them
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
