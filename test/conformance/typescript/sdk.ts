// The installed SDK: its classes, and their public members.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const home = new URL('.', import.meta.resolve('@daytona/sdk'))

export const version = (JSON.parse(readFileSync(new URL('../package.json', home), 'utf8')) as { version: string }).version

// load imports a file of the SDK, also one whose classes the package does not export.
export const load = (file: string) => import(fileURLToPath(new URL(file, home))) as Promise<Record<string, { prototype: object }>>

export interface Member {
  title: string
  owner: object // the class, if the member is static, or else its prototype
  name: string
}

// members lists the methods and properties of all classes, those that the package
// does not export too: a client hands out objects of them. What is public is only in
// the declarations.
export async function members(): Promise<Member[]> {
  const found: Member[] = []
  for (const file of readdirSync(home).filter((f) => f.endsWith('.d.ts') && f !== 'index.d.ts')) {
    const declared = declarations(readFileSync(new URL(file, home), 'utf8'))
    if (declared.length === 0) continue
    const module = await load(file.replace('.d.ts', '.js'))
    for (const { cls, name, isStatic } of declared) {
      const owner = module[cls]
      if (owner) found.push({ title: `${cls}.${name}`, owner: isStatic ? owner : owner.prototype, name })
    }
  }
  return found
}

function declarations(text: string): { cls: string; name: string; isStatic: boolean }[] {
  const found = new Map<string, { cls: string; name: string; isStatic: boolean }>()
  let cls: string | undefined
  for (const line of text.split('\n')) {
    cls = line.match(/^export declare class (\w+)/)?.[1] ?? (line.startsWith('}') ? undefined : cls)
    const member = line.match(/^ {4}(static )?(?:get )?([a-zA-Z]\w*)(?:<[^>]*>)?\(/)
    const name = member?.[2]
    if (cls && name && name !== 'constructor') found.set(`${cls}.${name}`, { cls, name, isStatic: member[1] !== undefined })
  }
  return [...found.values()]
}
