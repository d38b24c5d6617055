// Git: each method of the client is called.
import { readFile } from 'node:fs/promises'

import { DaytonaConflictError, DaytonaNotFoundError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { daytona, uniqueName } from './server.js'

const user = 'octo-user'
const password = 'p%ss w/o=rd$(x)é'
const server = 'http://127.0.0.1:8420'

let sandbox: Sandbox
let repo: string
beforeAll(async () => {
  sandbox = await daytona.create()
  await sandbox.fs.uploadFile(await readFile('../git_server.py'), '/tmp/server/git_server.py')
  await run(`set -e; cd /tmp/server; git init -q -b main work; cd work; git config user.name T; git config user.email t@example.com
    echo one >file; git add file; git commit -q -m first; git branch feature; echo two >file; git commit -q -a -m second
    for name in public private; do git clone -q --bare . ../$name.git; git -C ../$name.git config http.receivepack true; done
    cd ..; setsid -f python3 git_server.py 8420 /tmp/server ${user} '${password}' >log 2>&1
    curl -s --retry 20 --retry-delay 1 --retry-all-errors -o /dev/null ${server}/`)
})
beforeEach(() => {
  repo = uniqueName()
})
afterAll(() => sandbox.delete())

async function run(command: string): Promise<string> {
  const answer = await sandbox.process.executeCommand(command)
  expect(answer.exitCode, answer.result).toBe(0)
  return answer.result.trim()
}

test('from the clone to the push', async () => {
  await sandbox.git.clone(`${server}/private.git`, repo, undefined, undefined, user, password)
  expect(await sandbox.git.status(repo)).toMatchObject({
    currentBranch: 'main', upstream: 'origin/main', branchPublished: true, ahead: 0, behind: 0, detached: false, fileStatus: [],
  })
  await sandbox.git.createBranch(repo, 'work')
  await sandbox.fs.uploadFile(Buffer.from('new\n'), `${repo}/ä b.txt`)
  expect((await sandbox.git.status(repo)).fileStatus).toEqual([{ name: 'ä b.txt', staging: 'Untracked', worktree: 'Untracked', extra: '' }])
  await sandbox.git.add(repo, ['.'])
  const { sha } = await sandbox.git.commit(repo, 'A file', 'Ada', 'ada@example.com')
  expect(await run(`git -C ${repo} log -1 --format='%H %an <%ae> %s'`)).toBe(`${sha} Ada <ada@example.com> A file`)
  await sandbox.git.push(repo, user, password, 'work', 'origin', true)
  expect(await run('git -C /tmp/server/private.git rev-parse work')).toBe(sha)
  expect((await sandbox.git.status(repo)).upstream).toBe('origin/work')
  await sandbox.git.checkoutBranch(repo, 'main')
  await sandbox.git.pull(repo, user, password, 'work', 'origin')
  expect(await run(`git -C ${repo} rev-parse main`)).toBe(sha)
  await sandbox.git.deleteBranch(repo, 'work')
  expect(await sandbox.git.branches(repo)).toEqual({ branches: ['main'], current: 'main' })
  expect(await run(`grep -rlF -e '${password}' ~ || true`)).toBe('')
})

test('clones of a branch, a commit and a depth', async () => {
  await sandbox.git.clone(`${server}/public.git`, repo, 'feature', undefined, undefined, undefined, true, 1)
  expect(await run(`git -C ${repo} rev-list --count HEAD; git -C ${repo} branch --show-current`)).toBe('1\nfeature')
  const first = await run(`git -C ${repo} rev-parse HEAD`)
  await sandbox.git.clone(`${server}/public.git`, `${repo}-at`, undefined, first)
  expect(await sandbox.git.status(`${repo}-at`)).toMatchObject({ currentBranch: 'HEAD', detached: true })
})

test('what fails says so', async () => {
  const failure = async (call: Promise<unknown>) => {
    const reason: unknown = await call.then(() => undefined, (e: unknown) => e)
    expect(reason).toBeInstanceOf(Error)
    return reason as Error
  }
  expect((await failure(sandbox.git.clone(`${server}/private.git`, repo))).name).toMatch(/Auth/)
  expect(await failure(sandbox.git.clone(`${server}/none.git`, repo))).toBeInstanceOf(DaytonaNotFoundError)
  expect(await failure(sandbox.git.status(repo))).toBeInstanceOf(DaytonaNotFoundError)
  await sandbox.git.init(repo)
  expect(await failure(sandbox.git.init(repo))).toBeInstanceOf(DaytonaConflictError)
})

test('init, reset and restore', async () => {
  await sandbox.git.init(repo, false, 'trunk')
  await sandbox.git.init(`${repo}.git`, true)
  expect(await run(`git -C ${repo}.git rev-parse --is-bare-repository; git -C ${repo} symbolic-ref HEAD`)).toBe('true\nrefs/heads/trunk')
  const states = async () => (await sandbox.git.status(repo)).fileStatus.map((f) => `${f.staging} ${f.worktree}`)
  for (const text of ['one\n', 'two\n']) {
    await sandbox.fs.uploadFile(Buffer.from(text), `${repo}/file`)
    await sandbox.git.add(repo, ['file'])
    await sandbox.git.commit(repo, text, 'Ada', 'ada@example.com')
  }
  await sandbox.git.commit(repo, 'empty', 'Ada', 'ada@example.com', true)
  await sandbox.git.reset(repo, 'soft', 'HEAD~2')
  expect(await states()).toEqual(['Modified Unmodified'])
  await sandbox.git.restore(repo, ['file'], true)
  expect(await states()).toEqual(['Unmodified Modified'])
  await sandbox.git.add(repo, ['file'])
  await sandbox.git.reset(repo, undefined, undefined, ['file'])
  expect(await states()).toEqual(['Unmodified Modified'])
  await sandbox.git.restore(repo, ['file'], false, true, 'HEAD')
  expect(await states()).toEqual([])
  expect((await sandbox.fs.downloadFile(`${repo}/file`)).toString()).toBe('one\n')
})

test('remotes and settings', async () => {
  await sandbox.git.init(repo)
  await sandbox.git.remoteAdd(repo, 'origin', 'example.com/x.git')
  await sandbox.git.remoteAdd(repo, 'origin', `${server}/public.git`, true, true)
  expect(await sandbox.git.remotes(repo)).toEqual({ remotes: [{ name: 'origin', url: `${server}/public.git` }] })
  expect(await sandbox.git.remoteGet(repo, 'origin')).toBe(`${server}/public.git`)
  expect(await sandbox.git.remoteGet(repo, 'none')).toBeUndefined()
  expect(await run(`git -C ${repo} rev-parse --verify -q origin/feature`)).toMatch(/^[0-9a-f]{40}$/)

  expect((await sandbox.git.getConfig('some.key')) ?? null).toBeNull()
  await sandbox.git.setConfig('some.key', 'a value')
  expect(await sandbox.git.getConfig('some.key')).toBe('a value')
  await sandbox.git.configureUser('Ada', 'ada@example.com')
  await sandbox.git.configureUser('Local', 'local@example.com', 'local', repo)
  expect(await sandbox.git.getConfig('user.name')).toBe('Ada')
  expect(await sandbox.git.getConfig('user.name', 'local', repo)).toBe('Local')
  await sandbox.git.dangerouslyAuthenticate(user, password, '127.0.0.1:8420', 'http')
  await sandbox.git.clone(`${server}/private.git`, `${repo}-private`)
  expect((await sandbox.git.status(`${repo}-private`)).currentBranch).toBe('main')
})
