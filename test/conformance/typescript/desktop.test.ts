// The desktop: each method of mouse, keyboard, screenshot, display and the processes is called.
import { DaytonaError, type Sandbox } from '@daytona/sdk'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

import { daytona } from './server.js'

// Of an image with a desktop and Python's Tk.
const snapshot = process.env.DESKTOP_SNAPSHOT ?? 'desktop'
const form = `
import tkinter
log = open("/tmp/events", "w", buffering=1)
w = tkinter.Tk()
w.title("Entry")
w.geometry("300x200+50+60")
text = tkinter.Entry(w)
text.place(x=10, y=10, width=280, height=40)
text.bind("<Return>", lambda e: log.write(text.get() + "\\n"))
square = tkinter.Frame(w, background="#ff0000")
square.place(x=10, y=60, width=100, height=100)
square.bind("<Button>", lambda e: log.write(f"{e.num} {e.x},{e.y}\\n"))
square.bind("<ButtonRelease-1>", lambda e: log.write(f"release {e.x},{e.y}\\n"))
text.focus_force()
w.wait_visibility()
w.after(200, lambda: log.write("ready\\n"))
w.mainloop()
`
let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await daytona.create({ snapshot }, { timeout: 120 })
  await sandbox.fs.uploadFile(Buffer.from(form), 'form.py')
  const started = await sandbox.computerUse.start()
  expect(Object.keys(started.status ?? {}).sort()).toEqual(['atspi', 'novnc', 'x11vnc', 'xfce4', 'xvfb'])
  await sandbox.process.executeCommand('setsid python3 form.py >/tmp/form.log 2>&1 </dev/null &')
  await event('ready')
}, 400_000)
afterAll(() => sandbox.delete())

// event waits until the form has told this last.
async function event(last: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const { result } = await sandbox.process.executeCommand('tail -n 1 /tmp/events 2>/dev/null || true')
      expect(result.trim()).toBe(last)
    },
    { timeout: 20_000, interval: 100 },
  )
}

test('the processes', async () => {
  const use = sandbox.computerUse
  expect(Object.keys((await use.start()).status ?? {})).toContain('xvfb') // it runs already
  expect((await use.getStatus()).status).toBe('active')
  expect(await use.getProcessStatus('xvfb')).toMatchObject({ processName: 'xvfb', running: true })
  expect((await use.restartProcess('novnc')).processName).toBe('novnc')
  const said = [(await use.getProcessLogs('novnc')).logs, (await use.getProcessErrors('novnc')).errors].join('')
  expect(said).toContain('6080')
  await expect(use.getProcessStatus('none')).rejects.toMatchObject({ statusCode: 404 })
})

test('mouse and keyboard', async () => {
  const { mouse, keyboard, display } = sandbox.computerUse
  const window = await vi.waitFor(
    async () => {
      const shown = (await display.getWindows()).windows?.[0]
      expect(shown).toMatchObject({ title: 'Entry', width: 300, height: 200, isActive: true })
      return shown
    },
    { timeout: 20_000, interval: 100 },
  )
  const [x, y] = [window!.x! + 60, window!.y! + 110]
  expect(await mouse.move(x, y)).toMatchObject({ x, y })
  expect(await mouse.getPosition()).toMatchObject({ x, y })
  expect(await mouse.click(x, y, 'right')).toMatchObject({ x, y })
  await event('3 50,50')
  expect(await mouse.scroll(x, y, 'up', 1)).toBe(true)
  await event('4 50,50')
  expect(await mouse.drag(x, y, x + 10, y + 20)).toMatchObject({ x: x + 10, y: y + 20 })
  await event('release 60,70')
  await mouse.click(window!.x! + 100, window!.y! + 30)
  await keyboard.type('Grüße, 漢字')
  await keyboard.press('1', ['shift'])
  await keyboard.press('enter')
  await event('Grüße, 漢字!')
  await keyboard.hotkey('ctrl+/')
  await keyboard.type('gone\n')
  await event('gone')
  await expect(keyboard.press('!')).rejects.toBeInstanceOf(DaytonaError)
  await expect(mouse.click(x, y, 'fourth')).rejects.toMatchObject({ statusCode: 400 })
})

test('screenshots and displays', async () => {
  const { screenshot, display, mouse } = sandbox.computerUse
  expect((await display.getInfo()).displays?.[0]).toMatchObject({ x: 0, y: 0, width: 1024, height: 768, isActive: true })
  await mouse.move(300, 200)
  const whole = await screenshot.takeFullScreen(true)
  const png = Buffer.from(whole.screenshot!, 'base64')
  expect(whole).toMatchObject({ cursorPosition: { x: 300, y: 200 }, sizeBytes: png.length })
  expect([png.subarray(1, 4).toString(), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(['PNG', 1024, 768])
  // @daytona/sdk 0.216 sends these four in the opposite order.
  const part = Buffer.from((await screenshot.takeRegion({ x: 8, y: 8, width: 8, height: 8 })).screenshot!, 'base64')
  expect([part.readUInt32BE(16), part.readUInt32BE(20)]).toEqual([8, 8])
  const small = await screenshot.takeCompressed({ format: 'jpeg', quality: 50, scale: 0.5, showCursor: true })
  expect(small.cursorPosition).toEqual({ x: 150, y: 100 })
  expect(Buffer.from(small.screenshot!, 'base64').subarray(0, 2).toString('hex')).toBe('ffd8')
  const webp = await screenshot.takeCompressedRegion({ x: 0, y: 0, width: 50, height: 50 }, { format: 'webp' })
  expect(Buffer.from(webp.screenshot!, 'base64').subarray(8, 12).toString()).toBe('WEBP')
  await expect(screenshot.takeRegion({ x: 0, y: 0, width: 5000, height: 1 })).rejects.toMatchObject({ statusCode: 400 })
})

test('stop', async () => {
  const stopped = await sandbox.computerUse.stop()
  expect(Object.values(stopped.status ?? {}).some((p) => p.running)).toBe(false)
  expect((await sandbox.computerUse.getStatus()).status).toBe('inactive')
  await expect(sandbox.computerUse.mouse.getPosition()).rejects.toMatchObject({ statusCode: 400 })
})
