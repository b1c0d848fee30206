#!/usr/bin/env bash
# Adds to the run image what buildpacks need to compile: a toolchain, git, Python and headers. Runs as root in the
# folder with this recipe and node.tgz, the npm package from which the run image took its Node.js.
set -euo pipefail

recipe="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

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

echo "Installing packages"
quietly apt-get update
packages=(
  autoconf automake bison build-essential cmake git gettext libtool patchelf pigz pkg-config python3 python3-venv
  python-is-python3
  libbz2-dev libcurl4-openssl-dev libev-dev libevent-dev libffi-dev libgmp-dev libicu-dev libjpeg-dev
  liblzma-dev libmariadb-dev libmemcached-dev libncurses-dev libonig-dev libpng-dev libpq-dev libreadline-dev
  libsodium-dev libsqlite3-dev libssl-dev libuv1-dev libxml2-dev libxslt1-dev libyaml-dev libzip-dev uuid-dev
  zlib1g-dev
)
quietly apt-get install -y --no-install-recommends "${packages[@]}"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log

echo "Installing the headers of Node.js"
tar -xzf "$recipe/node.tgz" -C /opt/dynodock/node --strip-components=1 --no-same-owner package/include

# A fresh named volume takes over the owner of the folder it is mounted on.
install -d -o dyno -g dyno -m 755 /cache
echo "Done"
