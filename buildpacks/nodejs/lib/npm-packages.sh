# Packages fetched straight from the npm registry, with whatever registry and proxy the npm settings say.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# The Node.js that the build image brings, which runs npm before the app's own Node.js is there.
stock_node=/opt/dynodock/node

stock_npm() {
  PATH="$stock_node/bin:$PATH" "$stock_node/bin/npm" "$@"
}

# fetch_npm_package SPECIFIER TARGET: unpacks the newest version that fits into TARGET, which appears all at once.
fetch_npm_package() {
  local specifier="$1" target="$2" work file
  work="$(mktemp -d)"
  if ! file="$(cd "$work" && stock_npm pack "$specifier" --silent --fetch-retries 1 --fetch-timeout 60000 2> "$work/error")"; then
    cat "$work/error" >&2
    rm -rf "$work"
    return 1
  fi
  mkdir -p "${target%/*}" "$work/unpacked"
  # npm prints the file's name last.
  tar -xzf "$work/${file##*$'\n'}" -C "$work/unpacked" --strip-components=1 --no-same-owner
  rm -rf "$target.new"
  cp -a "$work/unpacked" "$target.new"
  rm -rf "$target" "$work"
  mv "$target.new" "$target"
}
