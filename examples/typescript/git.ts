// A repository in a sandbox: clone it, change it on a branch, push it.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets. The remote is a bare repository in the same sandbox,
// so the example needs no account anywhere; use the https:// URL of yours, and give
// a user name and a password to clone, pull and push.
import { Daytona } from '@daytona/sdk'

async function main(): Promise<void> {
  const sandbox = await new Daytona().create()
  try {
    const git = sandbox.git
    await git.init('origin.git', true, 'main')

    await git.clone('./origin.git', 'project')
    await sandbox.fs.uploadFile(Buffer.from('# Project\n'), 'project/README.md')
    await git.add('project', ['README.md'])
    const first = await git.commit('project', 'First commit', 'Ada', 'ada@example.com')
    await git.push('project')
    console.log('pushed', first.sha.slice(0, 7))

    await git.createBranch('project', 'feature')
    await sandbox.fs.uploadFile(Buffer.from("print('hello')\n"), 'project/hello.py')
    const status = await git.status('project')
    for (const file of status.fileStatus) console.log(file.name, file.worktree)
    await git.add('project', ['.'])
    await git.commit('project', 'Say hello', 'Ada', 'ada@example.com')
    await git.push('project')

    await git.checkoutBranch('project', 'main')
    console.log('branches:', (await git.branches('project')).branches.join(', '))
    await git.clone('./origin.git', 'copy', 'feature')
    console.log((await sandbox.process.executeCommand('git log --format=%s', 'copy')).result)
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
