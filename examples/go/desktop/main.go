// Command desktop starts the desktop of a sandbox, opens a program on it, uses it,
// and takes a picture and a film. The snapshot's image must have a desktop, as the variants
// desktop and full of the default snapshots' image have (docs/desktop.md);
// DESKTOP_SNAPSHOT names another snapshot than the default one. The server and the
// key are in DAYTONA_API_URL and DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/desktop
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// program greets whoever types a name.
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

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	client, err := daytona.NewClient()
	if err != nil {
		return err
	}
	sandbox, err := client.Create(ctx, daytona.CreateParams{Snapshot: os.Getenv("DESKTOP_SNAPSHOT"), AutoStopInterval: new(5)})
	if sandbox != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, sandbox.Delete(ctx), sandbox.WaitUntilDeleted(ctx))
		}()
	}
	if err != nil {
		return err
	}
	desktop := sandbox.ComputerUse
	if _, err := desktop.Start(ctx); err != nil {
		return err
	}

	// Programs that are started now find the desktop.
	film, err := desktop.Recordings.Start(ctx, "greeting")
	if err != nil {
		return err
	}
	if err := sandbox.FileSystem.UploadFile(ctx, []byte(program), "greeting.py"); err != nil {
		return err
	}
	if _, err := sandbox.Process.ExecuteCommand(ctx, "setsid python3 greeting.py >greeting.log 2>&1 </dev/null &", daytona.ExecuteOptions{}); err != nil {
		return err
	}
	window, err := await(ctx, desktop, "Greeting")
	if err != nil {
		return err
	}
	if _, err := desktop.Mouse.Click(ctx, daytona.Point{X: window.X + window.Width/2, Y: window.Y + 25}, daytona.ClickOptions{}); err != nil {
		return err
	}
	if err := desktop.Keyboard.Type(ctx, "世界", 0); err != nil {
		return err
	}
	if err := desktop.Keyboard.Press(ctx, "enter"); err != nil {
		return err
	}
	if _, err := await(ctx, desktop, "Done"); err != nil {
		return err
	}
	picture, err := desktop.Screenshot.Take(ctx, daytona.ScreenshotOptions{Format: "jpeg", Quality: 80, ShowCursor: true})
	if err != nil {
		return err
	}
	fmt.Printf("screenshot: %d bytes, pointer at %d,%d\n", len(picture.Image), picture.Cursor.X, picture.Cursor.Y)
	if film, err = desktop.Recordings.Stop(ctx, film.ID); err != nil {
		return err
	}
	fmt.Printf("film: %s, %.1f s, %d bytes\n", film.FilePath, film.DurationSeconds, film.SizeBytes)
	_, err = desktop.Stop(ctx)
	return err
}

// await returns when there is a window of that title.
func await(ctx context.Context, desktop *daytona.ComputerUse, title string) (daytona.WindowInfo, error) {
	for {
		windows, err := desktop.Display.Windows(ctx)
		if err != nil {
			return daytona.WindowInfo{}, err
		}
		for _, w := range windows {
			if w.Title == title {
				return w, nil
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return daytona.WindowInfo{}, fmt.Errorf("no window %s: %w", title, ctx.Err())
		}
	}
}
