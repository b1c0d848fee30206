#!/usr/bin/env bash
# Makes the image of daemon and router out of minimal Debian. Runs as root in the folder with this recipe, node.tgz
# and npm.tgz (npm packages that the host fetched, in the versions of versions.env) and app/, the compiled project
# without its dependencies.
set -euo pipefail

recipe="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/daemon/versions.env
source "$recipe/versions.env"

export DEBIAN_FRONTEND=noninteractive

# apt's and npm's output is only of interest when it fails.
quietly() {
  local log
  log="$(mktemp)"
  if ! "$@" > "$log" 2>&1; then
    # The reason is at the top of npm's output and at the end of apt's.
    head -n 15 "$log"
    tail -n 15 "$log"
    echo "Failed: $*"
    exit 1
  fi
  rm -f "$log"
}

echo "Installing packages"
quietly apt-get update
quietly apt-get install -y --no-install-recommends ca-certificates git openssl tini

echo "Installing Node.js $NODE_VERSION and npm $NPM_VERSION"
node=/opt/dynodock/node
mkdir -p "$node/lib/node_modules/npm"
tar -xzf "$recipe/node.tgz" -C "$node" --strip-components=1 --no-same-owner
tar -xzf "$recipe/npm.tgz" -C "$node/lib/node_modules/npm" --strip-components=1 --no-same-owner
# Some published packages lost the executable bit.
chmod 755 "$node/bin/node" "$node/lib/node_modules/npm/bin/"*-cli.js
# Node's own package holds links of that name in some versions.
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$node/bin/npm"
ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$node/bin/npx"
export PATH="$node/bin:$PATH"

cp -r "$recipe/app" /opt/dynodock/app
cd /opt/dynodock/app
chmod 755 bin/* buildpacks/*/bin/*

# The SQLite binding is compiled where no binary of it can be downloaded; the toolchain does not stay.
echo "Installing dependencies"
quietly apt-get install -y --no-install-recommends g++ make python3
export npm_config_nodedir="$node" NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
quietly npm ci --omit=dev --no-audit --no-fund
node -e 'new (require("better-sqlite3"))(":memory:").close()'
quietly apt-get purge -y --auto-remove g++ make python3
npm cache clean --force > /dev/null 2>&1
rm -rf "$node/CHANGELOG.md" "$node/README.md" "$node/share" "$node/include" "$node/lib/node_modules/npm/"{docs,man}
rm -rf node_modules/better-sqlite3/{deps,src,build/Release/obj,build/Release/obj.target}

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log /root/.npm /root/.cache
echo "Done"
