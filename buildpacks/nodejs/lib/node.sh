# Which Node.js, and how it gets into the slug as .heroku/node.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

runtimes=/opt/dynodock/runtimes

node_architecture() {
  case "$(uname -m)" in
    x86_64) echo x64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail "There is no Node.js for this architecture: $(uname -m)." ;;
  esac
}

show_engines() {
  line "engines.node (package.json):   ${engine_node:-unspecified}"
  line "engines.npm (package.json):    ${engine_npm:-unspecified (use default)}"
  case "$package_manager" in
    yarn) line "engines.yarn (package.json):   ${engine_yarn:-unspecified (use default)}" ;;
    pnpm) line "engines.pnpm (package.json):   ${engine_pnpm:-unspecified (use default)}" ;;
  esac
  [[ -z $package_manager_field ]] || line "packageManager (package.json): ${package_manager_field%%+*}"
  echo
}

# resolve RANGE < versions
resolve_version() {
  "$stock_node/bin/node" "$buildpack_dir/lib/resolve-version.js" "$1"
}

install_node() {
  local status=0 installed
  installed="$(cd "$runtimes" && printf '%s\n' node-v*)"
  installed="${installed//node-v/}"
  [[ -n $engine_node ]] || warn "package.json does not say which Node.js the app needs: set engines.node, e.g. \"24.x\"."
  node_version="$(resolve_version "$engine_node" <<< "$installed")" || status=$?
  case "$status" in
    0)
      line "Using the preinstalled Node.js $node_version"
      mkdir -p .heroku
      rm -rf .heroku/node
      # A link instead of a copy: the run image has the same folder, and the slug stays small.
      ln -s "$runtimes/node-v$node_version" .heroku/node
      node_headers="$runtimes/node-v$node_version"
      ;;
    2) fail "engines.node in package.json is not a version or range that can be understood: $engine_node" ;;
    3) install_other_node ;;
    *) fail "The version of Node.js could not be determined (status $status)." ;;
  esac
  export PATH="$build_dir/.heroku/node-tools/bin:$build_dir/.heroku/node/bin:$PATH:$build_dir/node_modules/.bin"
  # node-gyp then needs no download of headers.
  if [[ -f $node_headers/include/node/node.h ]]; then
    export npm_config_nodedir="$node_headers"
  fi
}

install_other_node() {
  local architecture versions cached error status=0
  architecture="$(node_architecture)"
  error="$(mktemp)"
  line "Resolving node version $engine_node..."
  if versions="$(published_versions "$architecture" 2> "$error")"; then
    node_version="$(resolve_version "$engine_node" <<< "$versions")" || status=$?
    ((status == 0)) || fail "There is no release of Node.js that satisfies engines.node in package.json: $engine_node"
  else
    # Off the network an earlier download of a fitting version is better than no build.
    cached="$(cd "$cache_dir" && printf '%s\n' node/v*)"
    node_version="$(resolve_version "$engine_node" <<< "${cached//node\/v/}")" || status=$?
    if ((status != 0)); then
      indent < "$error"
      fail "The list of Node.js versions could not be fetched from nodejs.org and $(registry_host): is the network down?" \
        "Node.js $(< "$runtimes/default-node") is installed and needs no network, but engines.node asks for $engine_node."
    fi
    warn "The list of Node.js versions could not be fetched: used $node_version from the cache."
  fi

  local store="$cache_dir/node/v$node_version"
  if [[ -x $store/bin/node ]]; then
    line "Using node $node_version from the cache"
  else
    line "Downloading and installing node $node_version..."
    if ! download_node "$architecture" "$store" 2> "$error"; then
      indent < "$error"
      fail "Node.js $node_version could not be downloaded from nodejs.org and $(registry_host): is the network down?"
    fi
  fi
  rm -rf .heroku/node "$error"
  mkdir -p .heroku/node/lib
  cp -a "$store/bin" .heroku/node/
  cp -a "$store/lib/node_modules" .heroku/node/lib/
  node_headers="$store"
}

# Of the npm settings, without credentials.
registry_host() {
  stock_npm config get registry 2> /dev/null | sed -E 's,^https?://([^/@]*@)?([^/]+).*,\2,' || echo 'the npm registry'
}

# The project's own list first; where that is blocked, the npm registry has the same binaries.
published_versions() {
  local architecture="$1"
  curl -fsSL --connect-timeout 2 --max-time 20 https://nodejs.org/dist/index.json |
    jq -r --arg file "linux-$architecture" '.[] | select(.files | index($file)) | .version' && return 0
  stock_npm view "node-linux-$architecture" versions --json --fetch-retries 1 --fetch-timeout 30000
}

# download_node ARCHITECTURE TARGET
download_node() {
  local architecture="$1" target="$2"
  mkdir -p "$cache_dir/node"
  download_from_project "$architecture" "$target" && return 0
  download_from_registry "$architecture" "$target"
}

download_from_project() {
  local architecture="$1" target="$2" name base work
  name="node-v$node_version-linux-$architecture"
  base="https://nodejs.org/dist/v$node_version"
  work="$(mktemp -d)"
  if curl -fsSL --connect-timeout 2 --max-time 600 -o "$work/$name.tar.xz" "$base/$name.tar.xz" &&
    curl -fsSL --connect-timeout 2 --max-time 60 -o "$work/sums" "$base/SHASUMS256.txt" &&
    (cd "$work" && grep " $name.tar.xz\$" sums | sha256sum --check --quiet) &&
    mkdir "$work/node" && tar -xJf "$work/$name.tar.xz" -C "$work/node" --strip-components=1 --no-same-owner; then
    rm -rf "$target"
    mv "$work/node" "$target"
    rm -rf "$work"
    return 0
  fi
  rm -rf "$work"
  return 1
}

# The npm package has no npm in it.
download_from_registry() {
  local architecture="$1" target="$2"
  rm -rf "$target"
  fetch_npm_package "node-linux-$architecture@$node_version" "$target.partial" || return 1
  # Some published packages lost the executable bit.
  chmod 755 "$target.partial/bin/node" || return 1
  rm -rf "$target.partial/CHANGELOG.md" "$target.partial/README.md" "$target.partial/share"
  local npm="$target.partial/lib/node_modules/npm" major="${node_version%%.*}"
  mkdir -p "${npm%/*}"
  if ((major >= 23)) || [[ $node_version =~ ^(20\.(1[7-9]|2[0-9])|22\.(9|[1-9][0-9]))\. ]]; then
    cp -a "$stock_node/lib/node_modules/npm" "$npm" || return 1
  elif ((major >= 18)); then
    fetch_npm_package npm@10 "$npm" || return 1
  elif ((major >= 14)); then
    fetch_npm_package npm@8 "$npm" || return 1
  else
    fetch_npm_package npm@6 "$npm" || return 1
  fi
  chmod 755 "$npm/bin/"*-cli.js || return 1
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$target.partial/bin/npm" || return 1
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$target.partial/bin/npx" || return 1
  mv "$target.partial" "$target"
}
