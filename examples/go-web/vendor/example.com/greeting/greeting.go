// Package greeting stands for a dependency: it is vendored, so that the app builds without a network.
package greeting

import "strings"

// For greets a name, and whoever has none.
func For(name string) string {
	name = strings.TrimSpace(name)
	if name == "" {
		name = "somebody"
	}
	return "Hello " + name
}
