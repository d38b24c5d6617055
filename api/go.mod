module github.com/opendaytona/daytona/api

go 1.26.8
