# Installing, caching and pruning node_modules; running the app's own scripts.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# run_logged COMMAND...: shows the output indented and keeps it in $command_log for explain_failure.
run_logged() {
  command_log="$(mktemp)"
  local status=0
  # The command must not read the build's own input.
  "$@" < /dev/null 2>&1 | tee "$command_log" | without_usage | indent || status=$?
  return "$status"
}

# npm appends the whole description of `npm ci` to the reason why it failed.
without_usage() {
  sed -u '/^npm error Clean install a project/,/^npm error Run "npm help/d'
}

# unreachable_host LOG: the host of the request that failed, as the package manager names it, else the registry's.
unreachable_host() {
  local line host
  line="$(grep -E 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|failed, reason' <<< "$1" || true)"
  host="$(sed -nE 's,.*https?://([^/ "@]*@)?([^/ ":]+(:[0-9]+)?).*,\2,p' <<< "$line" | head -n 1)"
  [[ -n $host ]] || host="$(sed -nE 's,.*(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT) ([A-Za-z0-9.:-]+).*,\2,p' <<< "$line" | head -n 1)"
  if [[ -z $host ]]; then
    host="$(npm config get registry 2> /dev/null | sed -E 's,^https?://([^/@]*@)?([^/]+).*,\2,' || true)"
  fi
  echo "${host:-The package registry}"
}

# explain_failure WHAT: ends the build; the output above has the details.
explain_failure() {
  local what="$1" log
  log="$(< "$command_log")"
  case "$log" in
    *ENOTFOUND* | *EAI_AGAIN* | *ECONNREFUSED* | *ETIMEDOUT* | *ENETUNREACH* | *ERR_SOCKET_TIMEOUT*)
      fail "$what" "$(unreachable_host "$log") could not be reached: is the network down?"
      ;;
    *UNABLE_TO_GET_ISSUER_CERT* | *SELF_SIGNED_CERT* | *'unable to get local issuer certificate'*)
      fail "$what" "The package registry's certificate is not trusted by the host's list of authorities."
      ;;
    *'can only install packages when your package.json and package-lock.json'* | *'in sync'* | *ERR_PNPM_OUTDATED_LOCKFILE* | *'lockfile needs to be updated'* | *YN0028*)
      fail "$what" "package.json and $lockfile do not fit together: run an installation on your machine and" \
        "commit the changed $lockfile."
      ;;
    *'JavaScript heap out of memory'*)
      fail "$what" "Node.js ran out of memory: the config var NODE_OPTIONS=--max_old_space_size=2560 allows more."
      ;;
    *)
      fail "$what" "The lines above say why."
      ;;
  esac
}

# What the cached node_modules depends on besides the lock file.
runtime_signature() {
  echo "node=$node_version npm=$npm_version manager=$package_manager tool=${tool_version:-} stack=${STACK:-}" \
    "lockfile=${lockfile:-none}"
}

content_signature() {
  echo "production=${production_only:-} env=$NODE_ENV config=$config_vars_hash"
  # An .npmrc may change where packages come from.
  find . -maxdepth 1 -type f \( -name package.json -o -name "${lockfile:-package.json}" -o -name '.npmrc' \) -print0 |
    sort -z | xargs -0 sha256sum
}

restore_cache() {
  modules_restored=no
  if [[ -d node_modules ]]; then
    warn "node_modules is part of the repository: add it to .gitignore."
    modules_restored=checked-in
    return 0
  fi
  needs_installation && [[ $NODE_MODULES_CACHE != false && -d $cache_dir/modules/node_modules ]] || return 0
  if [[ $(< "$cache_dir/modules/runtime") != "$(runtime_signature)" ]]; then
    line "Not using cached modules: the version of Node.js, the package manager or the stack changed"
    return 0
  fi
  if [[ $(< "$cache_dir/modules/content") == "$(content_signature)" && -n $lockfile ]]; then
    modules_restored=same
  elif [[ $package_manager == npm && -n $lockfile ]]; then
    # npm ci would remove them first; it has npm's own cache to be fast.
    return 0
  else
    modules_restored=other
  fi
  line "Restoring cache"
  cp -a "$cache_dir/modules/node_modules" node_modules
}

install_dependencies() {
  if ! needs_installation; then
    line "No dependencies"
    echo
    return 0
  fi
  # The same lock file with the same Node.js gives the same modules. The app's own install scripts and those of its
  # workspaces may depend on any file of it, so with such scripts the installation runs always.
  if [[ $modules_restored == same ]] && ! has_install_scripts && ! jq -e .workspaces package.json > /dev/null; then
    line "Using cached modules ($lockfile is unchanged)"
    echo
    return 0
  fi
  case "$package_manager" in
    npm) install_with_npm ;;
    yarn) install_with_yarn ;;
    pnpm) install_with_pnpm ;;
  esac
  echo
}

# devDependencies are needed to build, so they are installed unless the user says otherwise, and pruned afterwards.
install_with_npm() {
  local dev=--include=dev
  [[ $production_only != true ]] || dev=--omit=dev
  if [[ -n $lockfile ]]; then
    line "Installing node modules ($lockfile)"
    run_logged npm ci "$dev" --prefer-offline || explain_failure "npm ci failed."
  else
    line "Installing node modules (package.json)"
    run_logged npm install "$dev" --prefer-offline --no-package-lock || explain_failure "npm install failed."
    if [[ $modules_restored == checked-in ]]; then
      # Binaries among them were built for the machine of whoever committed them.
      run_logged npm rebuild || explain_failure "npm rebuild failed."
    fi
  fi
}

install_with_yarn() {
  line "Installing node modules (${lockfile:-package.json})"
  if [[ $tool_version == 1.* ]]; then
    local flags=(--ignore-engines --prefer-offline --non-interactive)
    [[ -z $lockfile ]] || flags+=(--frozen-lockfile)
    if [[ $production_only == true ]]; then flags+=(--production=true); else flags+=(--production=false); fi
    run_logged yarn install "${flags[@]}" || explain_failure "yarn install failed."
  else
    local flags=()
    [[ -z $lockfile ]] || flags+=(--immutable)
    run_logged yarn install "${flags[@]}" || explain_failure "yarn install failed."
  fi
}

install_with_pnpm() {
  local flags=(--prefer-offline)
  if [[ -n $lockfile ]]; then flags+=(--frozen-lockfile); else flags+=(--no-frozen-lockfile); fi
  if [[ $production_only == true ]]; then flags+=(--prod); else flags+=(--prod=false); fi
  line "Installing node modules (${lockfile:-package.json})"
  # Without a terminal pnpm would refuse to replace modules that another installation left.
  CI=true run_logged pnpm install "${flags[@]}" || explain_failure "pnpm install failed."
}

run_script() {
  local script="$1"
  line "Running $script"
  run_logged "$package_manager" run "$script" || explain_failure "The script \"$script\" of package.json failed."
  echo
}

run_script_if_present() {
  if has_script "$1"; then
    run_script "$1"
  fi
}

# heroku-postbuild takes the place of build, for apps whose build is not meant for Heroku.
run_build_script() {
  if has_script heroku-postbuild; then
    run_script heroku-postbuild
  elif has_script build; then
    run_script build
  else
    line "No build script"
    echo
  fi
}

save_cache() {
  local store="$cache_dir/modules"
  if [[ $NODE_MODULES_CACHE == false ]]; then
    rm -rf "$store"
    line "Skipping, because NODE_MODULES_CACHE is false"
  elif [[ ! -d node_modules || $modules_restored == checked-in ]]; then
    rm -rf "$store"
    line "Nothing to cache"
  elif [[ $modules_restored == same ]]; then
    line "- node_modules (unchanged)"
  else
    rm -rf "$store"
    mkdir -p "$store"
    cp -a node_modules "$store/node_modules"
    content_signature > "$store/content"
    # Last, because without it nothing is restored.
    runtime_signature > "$store/runtime"
    line "- node_modules"
  fi
  echo
}

prune_dev_dependencies() {
  if [[ ! -d node_modules && ! -f .pnp.cjs ]] || ((dev_dependency_count == 0)); then
    line "Nothing to prune"
  elif [[ $NODE_ENV != production ]]; then
    line "Skipping, because NODE_ENV is not 'production'"
  elif [[ -n $production_only ]]; then
    line "Skipping, because NPM_CONFIG_PRODUCTION is '$production_only'"
  else
    case "$package_manager" in
      npm)
        # Without a lock file in the repository none is to appear in the slug.
        if [[ -n $lockfile ]]; then prune_with npm prune --omit=dev; else prune_with npm prune --omit=dev --no-package-lock; fi
        ;;
      pnpm) CI=true prune_with pnpm prune --prod --ignore-scripts ;;
      yarn) prune_with_yarn ;;
    esac
  fi
  echo
}

prune_with() {
  run_logged "$@" || explain_failure "$* failed."
}

prune_with_yarn() {
  if [[ $tool_version == 1.* ]]; then
    prune_with yarn install --production=true --ignore-engines --ignore-scripts --prefer-offline --non-interactive --frozen-lockfile
  elif [[ $tool_version =~ ^([4-9]|[1-9][0-9])\. ]]; then
    prune_with yarn workspaces focus --all --production
  else
    line "Skipping, because Yarn $tool_version cannot prune"
  fi
}
