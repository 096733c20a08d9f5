package main

import (
	"fmt"
	"io"
	"runtime/debug"
)

// printVersion needs no configuration.
func printVersion(stdout io.Writer) int {
	fmt.Fprintln(stdout, "departures", version())
	return exitClean
}

// version is the module's version, or the commit it was built from, or "devel" where the build recorded neither.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
