package desktop

// route is one that the worker answers.
type route struct {
	pattern string
	// anytime routes need neither a desktop that runs nor one in the image.
	anytime bool
}

var workerRoutes = []route{
	{pattern: "GET /computeruse/display/info"},
	{pattern: "GET /computeruse/display/windows"},
	{pattern: "GET /computeruse/screenshot"},
	{pattern: "GET /computeruse/screenshot/compressed"},
	{pattern: "GET /computeruse/screenshot/region"},
	{pattern: "GET /computeruse/screenshot/region/compressed"},
	{pattern: "GET /computeruse/mouse/position"},
	{pattern: "POST /computeruse/mouse/move"},
	{pattern: "POST /computeruse/mouse/click"},
	{pattern: "POST /computeruse/mouse/down"},
	{pattern: "POST /computeruse/mouse/up"},
	{pattern: "POST /computeruse/mouse/drag"},
	{pattern: "POST /computeruse/mouse/scroll"},
	{pattern: "POST /computeruse/keyboard/type"},
	{pattern: "POST /computeruse/keyboard/key"},
	{pattern: "POST /computeruse/keyboard/hotkey"},
	{pattern: "POST /computeruse/keyboard/down"},
	{pattern: "POST /computeruse/keyboard/up"},
	{pattern: "GET /computeruse/a11y/tree"},
	{pattern: "POST /computeruse/a11y/find"},
	{pattern: "POST /computeruse/a11y/node/focus"},
	{pattern: "POST /computeruse/a11y/node/invoke"},
	{pattern: "POST /computeruse/a11y/node/value"},
	{pattern: "GET /computeruse/recordings", anytime: true},
	{pattern: "POST /computeruse/recordings/start", anytime: true},
	{pattern: "POST /computeruse/recordings/stop", anytime: true},
	{pattern: "GET /computeruse/recordings/{id}", anytime: true},
	{pattern: "DELETE /computeruse/recordings/{id}", anytime: true},
	{pattern: "GET /computeruse/recordings/{id}/download", anytime: true},
}
