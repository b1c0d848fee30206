#!/usr/bin/env bash
# Makes the image of Redis add-ons out of minimal Debian.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive

# apt's output is only of interest when it fails.
quietly() {
  local log
  log="$(mktemp)"
  if ! "$@" > "$log" 2>&1; then
    tail -n 40 "$log"
    echo "Failed: $*"
    exit 1
  fi
  rm -f "$log"
}

echo "Installing Redis"
quietly apt-get update --error-on=any
quietly apt-get install -y --no-install-recommends redis-server redis-tools

# The engine copies it, owner and all, into each new volume.
install -d -o redis -g redis -m 700 /data

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
echo "Done"
