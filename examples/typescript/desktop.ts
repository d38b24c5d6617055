// A desktop in a sandbox: start it, open a program, use it, look at the result, and
// keep a film of it.
// Needs npm install @daytona/sdk, and DAYTONA_API_URL and DAYTONA_API_KEY, which
// eval "$(daytona env)" sets. The snapshot's image must have a desktop, as the
// variants desktop and full of the default snapshots' image have (docs/desktop.md);
// DESKTOP_SNAPSHOT names another snapshot than the default one.
import { Daytona } from '@daytona/sdk'
import { setTimeout } from 'node:timers/promises'

const program = `
import tkinter
window = tkinter.Tk()
window.title("Greeting")
window.geometry("320x120+100+100")
name = tkinter.Entry(window, font="sans 14")
name.pack(pady=10)
greeting = tkinter.Label(window, font="sans 14")
greeting.pack()
name.bind("<Return>", lambda event: (greeting.configure(text=f"Hello, {name.get()}!"), window.title("Done")))
name.focus_force()
window.mainloop()
`

async function main(): Promise<void> {
  const sandbox = await new Daytona().create({ snapshot: process.env.DESKTOP_SNAPSHOT })
  try {
    const desktop = sandbox.computerUse
    await desktop.start()
    const preview = await sandbox.getSignedPreviewUrl(6080)
    console.log(`watch it in a browser: ${preview.url}/vnc.html?autoconnect=true`)

    const { id } = await desktop.recording.start('greeting')
    // Programs that are started now find the desktop.
    await sandbox.fs.uploadFile(Buffer.from(program), 'greeting.py')
    await sandbox.process.executeCommand('setsid python3 greeting.py >greeting.log 2>&1 </dev/null &')

    const waitFor = async (title: string) => {
      for (let i = 0; i < 300; i++) {
        const window = (await desktop.display.getWindows()).windows?.find((w) => w.title === title)
        if (window) return window
        await setTimeout(100)
      }
      throw new Error(`no window ${title}`)
    }
    const window = await waitFor('Greeting')
    await desktop.mouse.click(window.x! + 160, window.y! + 25)
    await desktop.keyboard.type('世界')
    await desktop.keyboard.press('enter')
    await waitFor('Done')

    const picture = await desktop.screenshot.takeCompressed({ format: 'jpeg', quality: 80, showCursor: true })
    console.log(`screenshot: ${picture.sizeBytes} bytes`)
    const film = await desktop.recording.stop(id)
    await desktop.recording.download(id, '/tmp/daytona-desktop.mp4')
    console.log(`film: ${film.durationSeconds} s, ${film.sizeBytes} bytes`)
    await desktop.stop()
  } finally {
    await sandbox.delete()
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
