# go.mod, read once.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

read_go_mod() {
  local json error
  [[ -f go.mod ]] || explain_older_tools
  error="$(mktemp)"
  # Outside of the app, where a version in go.mod that is newer than this Go does not matter yet.
  if ! json="$(cd / && GOFLAGS='' GOWORK=off GOTOOLCHAIN=local go mod edit -json "$build_dir/go.mod" 2> "$error")"; then
    sed -e "s,$build_dir/,," -e 's/^go: //' "$error" | indent
    fail "go.mod cannot be read: the lines above say why."
  fi
  rm -f "$error"
  module_path="$(jq -r '.Module.Path // empty' <<< "$json")"
  [[ -n $module_path ]] || fail "go.mod cannot be read: it has no module directive." "Run go mod init on your machine."
  go_directive="$(jq -r '.Go // empty' <<< "$json")"
  toolchain_directive="$(jq -r '.Toolchain // empty' <<< "$json")"
  requirement_count="$(jq -r '.Require // [] | length' <<< "$json")"
  heroku_version="$(heroku_comment goVersion)"
  heroku_packages="$(heroku_comment install)"
}

# `// +heroku goVersion go1.23` and `// +heroku install ./cmd/... ./other` (Dev Center "Go Dependencies via Go Modules").
heroku_comment() {
  sed -nE "s,^[[:space:]]*//[[:space:]]*\+heroku[[:space:]]+$1[[:space:]]+(.*[^[:space:]])[[:space:]]*$,\1,p;T;q" go.mod
}

explain_older_tools() {
  local tool=Godep
  [[ ! -f vendor/vendor.json ]] || tool=govendor
  [[ ! -f glide.yaml ]] || tool=Glide
  [[ ! -f Gopkg.toml ]] || tool=dep
  fail "The app declares its dependencies for $tool, which is not supported: there is no go.mod." \
    "Go has modules for this since 2018: run go mod init and go mod tidy on your machine and commit go.mod and go.sum."
}
