// The tests of the SDK against a server. They are built in the workspace alone
// (go.work), so that the SDK's own module needs nothing of the server.
module github.com/opendaytona/daytona/sdk/test

go 1.26.8
