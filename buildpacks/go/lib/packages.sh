# Which packages are installed, and installing them.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

run_hook() {
  local hook="$1"
  [[ -f $hook ]] || return 0
  header "Running $hook hook"
  [[ -x $hook ]] || chmod +x "$hook"
  run_logged "./$hook" || fail "$hook failed: the lines above say why."
  echo
}

# With vendored modules nothing is downloaded.
choose_module_mode() {
  module_flags=()
  if [[ -f vendor/modules.txt ]]; then
    module_flags=(-mod=vendor)
    return 0
  fi
  [[ ! -d vendor ]] || warn "The folder vendor has no modules.txt and is not used: run go mod vendor on your machine."
  ((requirement_count > 0)) || return 0
  header "Fetching modules"
  run_logged go mod download || explain_failure "go mod download failed."
  line "Done"
  echo
}

choose_packages() {
  local error listed
  local patterns=(./...)
  if [[ -n ${GO_INSTALL_PACKAGE_SPEC:-} ]]; then
    read -ra patterns <<< "$GO_INSTALL_PACKAGE_SPEC"
    package_source="GO_INSTALL_PACKAGE_SPEC"
  elif [[ -n $heroku_packages ]]; then
    read -ra patterns <<< "$heroku_packages"
    package_source="// +heroku install in go.mod"
  else
    package_source=
  fi
  command_log="$(mktemp)"
  # -e: packages with errors are found too, and the compiler tells what is wrong with them.
  if ! listed="$(go list -e -find -tags heroku "${module_flags[@]}" -f '{{if eq .Name "main"}}{{.ImportPath}} {{.Target}}{{end}}' \
    "${patterns[@]}" 2> "$command_log")"; then
    indent < "$command_log"
    explain_failure "The packages of the app could not be listed."
  fi
  packages=()
  programs=()
  local package target
  while read -r package target; do
    [[ -n $package ]] || continue
    packages+=("$package")
    programs+=("${target##*/}")
  done <<< "$listed"
  if ((${#packages[@]} == 0)); then
    indent < "$command_log"
    if [[ -n $package_source ]]; then
      fail "There is no main package in ${patterns[*]} ($package_source)."
    fi
    fail "There is no main package in the module $module_path: nothing to install."
  fi
  if [[ -n $package_source ]]; then
    header "Installing the packages of $package_source"
  else
    header "Detected the following main packages to install:"
  fi
  printf '%s\n' "${packages[@]}" | indent
  echo
}

install_packages() {
  # Paths of the build's folder must not get into the programs; without them, the next build finds them in the cache.
  local flags=(-v -trimpath -buildvcs=false -tags heroku "${module_flags[@]}")
  local shown=(-v -tags heroku "${module_flags[@]}")
  if [[ -n ${GO_LINKER_SYMBOL:-} ]]; then
    local value="${GO_LINKER_VALUE:-${SOURCE_VERSION:-}}"
    flags+=(-ldflags "-X '$GO_LINKER_SYMBOL=$value'")
    # The value is a config var and may be a secret.
    shown+=(-ldflags "-X $GO_LINKER_SYMBOL=…")
  fi
  mkdir -p bin
  header "Running: go install ${shown[*]} ${packages[*]}"
  run_logged go install "${flags[@]}" "${packages[@]}" || explain_failure "go install failed."
  echo
  header "Installed the following binaries:"
  printf './bin/%s\n' "${programs[@]}" | indent
}

compile_tests() {
  header "Compiling packages and tests"
  run_logged go test -tags heroku "${module_flags[@]}" -run '^$' ./... || explain_failure "Packages or tests do not compile."
  echo
}

# bin/release needs it. With several programs a guess might start the wrong one.
remember_web_program() {
  local own="${module_path##*/}" program
  mkdir -p .heroku/go
  rm -f .heroku/go/web
  # `example.com/app/v2` is installed as `app`.
  if [[ $own =~ ^v[0-9]+$ && $module_path == */*/* ]]; then own="${module_path%/*}" own="${own##*/}"; fi
  if ((${#programs[@]} == 1)); then
    echo "${programs[0]}" > .heroku/go/web
    return 0
  fi
  for program in "${programs[@]}"; do
    if [[ $program == "$own" || $program == web ]]; then
      echo "$program" > .heroku/go/web
      return 0
    fi
  done
  procfile_has_web . ||
    warn "There are several programs and no Procfile that says which one is web: ${programs[*]}."
}

# explain_failure WHAT: ends the build; the output above has the details.
explain_failure() {
  local what="$1" log host
  log="$(< "$command_log")"
  if host="$(unreachable_host "$command_log")"; then
    fail "$what" "$host could not be reached: is the network down?" \
      "With go mod vendor and the folder vendor committed, a build needs no network."
  fi
  case "$log" in
    *'module lookup disabled by GOPROXY=off'*)
      fail "$what" "A module is not in the cache and GOPROXY is off: commit the folder that go mod vendor makes."
      ;;
    *'inconsistent vendoring'*)
      fail "$what" "The folder vendor and go.mod do not fit together: run go mod vendor on your machine and commit it."
      ;;
    *'missing go.sum entry'* | *'updates to go.mod needed'* | *'go mod tidy'*)
      fail "$what" "go.mod and go.sum do not fit together: run go mod tidy on your machine and commit both."
      ;;
    *'verifying '*': checksum mismatch'*)
      fail "$what" "A module is not the one that go.sum was written for."
      ;;
    *)
      fail "$what" "The lines above say why."
      ;;
  esac
}
