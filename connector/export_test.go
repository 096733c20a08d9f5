package connector

// StartNow is START=now, for tests outside the package.
var StartNow = Start{set: true}
