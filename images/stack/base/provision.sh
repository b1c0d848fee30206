#!/usr/bin/env bash
# Turns a bare debian:bookworm-slim into what mmdebstrap makes directly: minimal Debian plus CA certificates.
# Runs without the host's CA bundle mounted: installing ca-certificates replaces that file, which a mount forbids.
# Debian's own packages come over plain HTTP and are verified by signature.
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
quietly apt-get update
quietly apt-get install -y --no-install-recommends ca-certificates
rm -rf /var/lib/apt/lists/*
