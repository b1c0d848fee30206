#!/usr/bin/env bash
# Makes the image of e-mail catchers: a server of ours on the run image's Node.js, whose packages are in the lock file.
set -euo pipefail

recipe="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
server=/opt/dynodock/addon
export PATH="/opt/dynodock/node/bin:$PATH" NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt

# npm's output is only of interest when it fails.
quietly() {
  local log
  log="$(mktemp)"
  if ! "$@" > "$log" 2>&1; then
    head -n 15 "$log"
    tail -n 15 "$log"
    echo "Failed: $*"
    exit 1
  fi
  rm -f "$log"
}

echo "Installing the e-mail catcher"
install -d -m 755 "$server"
install -m 644 "$recipe"/*.ts "$recipe"/package.json "$recipe"/package-lock.json "$server"
cd "$server"
quietly npm ci --omit=dev --ignore-scripts --no-audit --no-fund
npm cache clean --force > /dev/null 2>&1
rm -rf /root/.npm /root/.cache

# The engine copies it, owner and all, into each new volume.
install -d -o dyno -g dyno -m 700 /data
echo "Done"
