# npm comes with Node.js; Yarn, pnpm and another npm are fetched into .heroku/node-tools, so that dynos have them too.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

choose_package_manager() {
  local lockfiles=() file
  for file in package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml; do
    [[ -f $file ]] && lockfiles+=("$file")
  done
  # npm prefers its shrinkwrap over a lock file beside it.
  if [[ ${lockfiles[*]} == "package-lock.json npm-shrinkwrap.json" ]]; then
    lockfiles=(npm-shrinkwrap.json)
  fi
  if ((${#lockfiles[@]} > 1)); then
    fail "The app has several lock files: ${lockfiles[*]}." \
      "They belong to different package managers, which may install different versions." \
      "Keep the one of the package manager that you use and remove the others from git."
  fi
  lockfile="${lockfiles[0]:-}"
  case "$lockfile" in
    yarn.lock) package_manager=yarn ;;
    pnpm-lock.yaml) package_manager=pnpm ;;
    '')
      package_manager=npm
      [[ $package_manager_field != yarn@* ]] || package_manager=yarn
      [[ $package_manager_field != pnpm@* ]] || package_manager=pnpm
      ;;
    *) package_manager=npm ;;
  esac
}

install_package_manager() {
  local own
  rm -rf .heroku/node-tools
  own="$(jq -r .version .heroku/node/lib/node_modules/npm/package.json)"
  npm_version="$own"
  case "$package_manager" in
    npm) install_npm "$own" ;;
    yarn) install_yarn ;;
    pnpm) install_pnpm ;;
  esac
  echo
}

# Lenient: an app is built with the npm at hand rather than not at all.
install_npm() {
  local own="$1" wanted="$engine_npm" field="$package_manager_field" status=0
  [[ $field == npm@* ]] && wanted="$(manager_version "$field")"
  if [[ -z $wanted ]]; then
    line "Using default npm version: $own"
    return 0
  fi
  resolve_version "$wanted" <<< "$own" > /dev/null || status=$?
  if ((status == 0)); then
    line "npm $own already satisfies $wanted"
  elif ((status == 2)); then
    warn "engines.npm in package.json cannot be understood ($wanted): used npm $own."
  elif install_tool npm "npm@$wanted"; then
    npm_version="$tool_version"
  else
    warn "npm $wanted could not be fetched: used npm $own."
  fi
}

install_yarn() {
  local package=yarn wanted="$engine_yarn"
  if [[ $package_manager_field == yarn@* ]]; then
    wanted="$(manager_version "$package_manager_field")"
  elif [[ -z $wanted ]]; then
    # The lock file of Yarn 2 and later has a header that says so.
    wanted=1.x
    if [[ -f yarn.lock ]] && grep -q '^__metadata:' yarn.lock; then wanted=4.x; fi
  fi
  # Yarn 2 and later are published under another name.
  if ! resolve_version "$wanted" <<< '1.0.0 1.22.22' > /dev/null; then package=@yarnpkg/cli-dist; fi
  install_tool yarn "$package@$wanted" || fail "Yarn $wanted could not be fetched: does it exist, is the network down?"
}

install_pnpm() {
  local wanted="$engine_pnpm" format
  if [[ $package_manager_field == pnpm@* ]]; then
    wanted="$(manager_version "$package_manager_field")"
  elif [[ -z $wanted ]]; then
    format="$(sed -n "s/^lockfileVersion: *['\"]\{0,1\}\([0-9]*\).*/\1/p;T;q" pnpm-lock.yaml 2> /dev/null || true)"
    case "$format" in
      5) wanted=7.x ;;
      6) wanted=8.x ;;
      *) wanted=10.x ;;
    esac
  fi
  install_tool pnpm "pnpm@$wanted" || fail "pnpm $wanted could not be fetched: does it exist, is the network down?"
}

# `pnpm@9.1.0+sha512.abc` → `9.1.0`
manager_version() {
  local version="${1#*@}"
  echo "${version%%+*}"
}

# install_tool NAME SPECIFIER: sets tool_version.
install_tool() {
  local name="$1" specifier="$2" store command file error
  store="$cache_dir/node-tools/$(tr -c 'A-Za-z0-9.\n' '-' <<< "$specifier")"
  error="$(mktemp)"
  if [[ ! -f $store/package.json ]] && ! fetch_npm_package "$specifier" "$store" 2> "$error"; then
    indent < "$error"
    rm -f "$error"
    return 1
  fi
  rm -f "$error"
  mkdir -p .heroku/node-tools/bin .heroku/node-tools/lib
  cp -a "$store" ".heroku/node-tools/lib/$name"
  tool_version="$(jq -r .version "$store/package.json")"
  while IFS=$'\t' read -r command file; do
    # Relative, because the build's folder is not the dyno's.
    cat > ".heroku/node-tools/bin/$command" << WRAPPER
#!/bin/sh
exec node "\$(dirname "\$(readlink -f "\$0")")/../lib/$name/$file" "\$@"
WRAPPER
    chmod 755 ".heroku/node-tools/bin/$command"
  done < <(jq -r --arg name "$name" \
    '.bin | if type == "string" then {($name): .} else . end | to_entries[] | [.key, .value] | @tsv' "$store/package.json")
  line "Using $name $tool_version"
}
