// Records which tests call which public members of the SDK, and how that ends, if
// DAYTONA_RECORD names a file for it. Only calls in the body of a test count.
import { appendFileSync } from 'node:fs'
import { basename } from 'node:path'

import { afterAll, expect } from 'vitest'

import { members, version } from './sdk.js'

const file = process.env.DAYTONA_RECORD
const calls = new Map<string, { member: string; test: string; returned: boolean }>()

function ended(member: string, test: string, returned: boolean): void {
  const key = `${member} ${test}`
  calls.set(key, { member, test, returned: returned || (calls.get(key)?.returned ?? false) })
}

function currentTest(): string | undefined {
  const { testPath, currentTestName } = expect.getState()
  return testPath && currentTestName ? `${basename(testPath)} > ${currentTestName}` : undefined
}

// fromSDK tells whether the caller of what called this is the SDK itself.
function fromSDK(watched: object): boolean {
  const at = { stack: '' }
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  Error.captureStackTrace(at, watched as (...args: never[]) => unknown)
  Error.stackTraceLimit = before
  return at.stack.includes('/@daytona/sdk/')
}

function watch(title: string, call: (this: unknown, ...args: unknown[]) => unknown) {
  return function watched(this: unknown, ...args: unknown[]): unknown {
    const test = currentTest()
    if (!test || fromSDK(watched)) return call.apply(this, args)
    let result: unknown
    try {
      result = call.apply(this, args)
    } catch (error) {
      ended(title, test, false)
      throw error
    }
    if (isGenerator(result)) return generated(title, test, result)
    if (!(result instanceof Promise)) {
      ended(title, test, true)
      return result
    }
    return result.then(
      (value: unknown) => {
        ended(title, test, true)
        return value
      },
      (error: unknown) => {
        ended(title, test, false)
        throw error
      },
    )
  }
}

function isGenerator(result: unknown): result is AsyncGenerator {
  return typeof result === 'object' && result !== null && Symbol.asyncIterator in result && 'next' in result && 'throw' in result
}

// A generator does its work when its first item is asked for.
async function* generated(title: string, test: string, result: AsyncGenerator): AsyncGenerator {
  try {
    for await (const item of result) {
      ended(title, test, true)
      yield item
    }
  } catch (error) {
    ended(title, test, false)
    throw error
  }
  ended(title, test, true)
}

if (file) {
  const surface = await members()
  for (const { title, owner, name } of surface) {
    const { value, get, ...rest } = Object.getOwnPropertyDescriptor(owner, name)!
    Object.defineProperty(owner, name, get ? { ...rest, get: watch(title, get) as () => unknown } : { ...rest, value: watch(title, value) })
  }
  afterAll(() => {
    appendFileSync(file, JSON.stringify({ version, surface: surface.map((m) => m.title), calls: [...calls.values()] }) + '\n')
  })
}
