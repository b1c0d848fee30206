package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGreets(t *testing.T) {
	answer := httptest.NewRecorder()
	handler().ServeHTTP(answer, httptest.NewRequest("GET", "/?name=Ada", nil))
	if !strings.HasPrefix(answer.Body.String(), "Hello Ada from go") {
		t.Errorf("unexpected answer: %q", answer.Body.String())
	}
}
