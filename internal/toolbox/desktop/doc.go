// Package desktop answers /computeruse. It has two halves.
//
// The agent itself starts, watches and ends the programs of the desktop
// (programs.go, supervise.go, session.go): an X server without a screen, a window
// manager, the accessibility bus, and the two that show it in a browser, with one
// D-Bus session for them all. Their logs are in ~/.daytona/computeruse.
//
// All that speaks with the desktop's programs is in the worker, a process of the
// agent's own program in another mode (link.Argument, package worker), which the
// agent starts when a request first needs it (worker.go here). It runs as the
// sandbox's user. The contract between the two:
//
//   - Descriptor link.FD of the worker is its end of a link: the agent passes it
//     a connection for each that it needs, and speaks HTTP over them. A request
//     and its answer have the paths, bodies and error envelopes of the toolbox
//     API; the agent passes them on as they are. Which routes the worker has is
//     the list in routes.go.
//   - Its environment is that of the sandbox's processes, and in it DISPLAY,
//     DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR, which say where the display
//     and the buses are when the desktop runs. They are set when it does not run
//     too, and the same after it was started anew. The agent asks the worker only
//     while the desktop runs, except for routes that can do without
//     (route.anytime).
//   - The worker keeps nothing that a client relies on, but for what holds it
//     (worker.Holds): the agent ends one that had nothing to do for a while and
//     is not held, and starts another at the next request. So it does after a
//     crash; the requests that were being served then fail with a 500.
//   - When its end of the link is closed, or by SIGTERM, it ends in an orderly way.
//     It is asked before the display ends, and killed after endPatience.
package desktop
