# Which Go, the environment of the build, and what dynos and later buildpacks get of it.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# The config var GOVERSION wins, then what go.mod says, most specific first.
choose_go() {
  stock_version="$(cd / && GOTOOLCHAIN=local go env GOVERSION)"
  if [[ -n ${GOVERSION:-} ]]; then
    go_wanted="$GOVERSION" go_wanted_by="the config var GOVERSION"
  elif [[ -n $heroku_version ]]; then
    go_wanted="$heroku_version" go_wanted_by="// +heroku goVersion in go.mod"
  elif [[ -n $toolchain_directive && $toolchain_directive != default ]]; then
    go_wanted="$toolchain_directive" go_wanted_by="toolchain in go.mod"
  elif [[ -n $go_directive ]]; then
    go_wanted="$go_directive" go_wanted_by="go in go.mod"
  else
    go_wanted="$stock_version" go_wanted_by=default
    warn "go.mod does not say which Go the app needs: add a line such as \"go ${stock_version#go}\"."
  fi
  unset GOVERSION
  go_wanted="${go_wanted#go}"
  [[ $go_wanted =~ ^1(\.[0-9]+){1,2}(rc[0-9]+|beta[0-9]+)?$ ]] ||
    fail "Not a version of Go: $go_wanted ($go_wanted_by)." "Versions look like go1.23 or go1.23.4."
}

set_build_environment() {
  # Neither of these may point into the slug: they are kept from build to build.
  export GOPATH="$cache_dir/go" GOMODCACHE="$cache_dir/go/mod" GOCACHE="$cache_dir/go-build"
  export GOBIN="$build_dir/bin"
  # Modules are read-only by default, and then the cache could not be purged.
  export GOFLAGS="${GOFLAGS:-} -modcacherw"
  unset GOROOT GOENV
  mkdir -p "$GOMODCACHE" "$GOCACHE"
}

# Newer releases of Go build modules made for older ones as these would ("Go Toolchains": language version), so the one in
# the image does for all that is not newer. Anything newer is fetched by Go itself, from the module proxy.
use_go() {
  local newest error
  newest="$(printf '%s\n' "${stock_version#go}" "$go_wanted" | sort -V | tail -n 1)"
  if [[ $newest == "${stock_version#go}" || ${stock_version#go} == "$go_wanted".* ]]; then
    export GOTOOLCHAIN="${GOTOOLCHAIN:-auto}"
    header "Using $stock_version"
    if [[ ${stock_version#go} != "$go_wanted" && ${stock_version#go} != "$go_wanted".* ]]; then
      line "It builds what was made for go$go_wanted ($go_wanted_by)"
    fi
    echo
    return 0
  fi
  resolve_newer_go
  header "Fetching go$go_version ($go_wanted_by)"
  error="$(mktemp)"
  export GOTOOLCHAIN="go$go_version+auto"
  # -modcacherw as well as any other flag is for the build: it is an error in "go version".
  if ! (cd / && go env GOVERSION) > /dev/null 2> "$error"; then
    indent < "$error"
    fail "Go $go_version is not in the image and could not be fetched (${GOPROXY:-https://proxy.golang.org})." \
      "$(why_unreachable "$error")" \
      "$stock_version is there and needs no network, but $go_wanted_by asks for go$go_wanted."
  fi
  rm -f "$error"
  header "Using $(cd / && go env GOVERSION)"
  echo
}

# `1.25` means its newest release, which the proxy knows; without an answer the first one has to do.
resolve_newer_go() {
  go_version="$go_wanted"
  [[ $go_version =~ ^1\.[0-9]+$ ]] || return 0
  go_version="$(cd / && GOTOOLCHAIN=local go list -m -f '{{.Version}}' "go@$go_wanted" 2> /dev/null)" || go_version="$go_wanted.0"
}

why_unreachable() {
  local host
  if host="$(unreachable_host "$1")"; then
    echo "$host could not be reached: is the network down?"
  else
    echo "Is there such a version?"
  fi
}

write_profile_script() {
  mkdir -p .profile.d
  # shellcheck disable=SC2016 # for the dyno's shell
  echo 'export PATH="$PATH:$HOME/bin"' > .profile.d/go.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find the programs in bin/: this one's folder is not writable."
    return 0
  fi
  # shellcheck disable=SC2016 # $PATH is for whoever sources the file
  printf 'export PATH="$PATH":%q\n' "$build_dir/bin" > "$buildpack_dir/export"
}

# bin/test is not told where the cache is.
write_test_environment() {
  local name
  mkdir -p .heroku/go
  for name in GOPATH GOMODCACHE GOCACHE GOFLAGS GOTOOLCHAIN; do
    printf 'export %s=%q\n' "$name" "${!name}"
  done > .heroku/go/test.env
}
