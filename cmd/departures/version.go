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

// release is set by the linker where a program is built without its history.
var release string

// version is what the linker was told, the module's version, or the commit it was built from; "devel" where nothing is known.
func version() string {
	if release != "" {
		return release
	}
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
