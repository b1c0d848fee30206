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
# The tools of the bundled buildpacks. Maven's plugins are those that a plain build needs, for builds without a network.
packages+=(
  composer libmaven-clean-plugin-java libmaven-compiler-plugin-java libmaven-dependency-plugin-java
  libmaven-install-plugin-java libmaven-jar-plugin-java libmaven-resources-plugin-java libsurefire-java maven
  openjdk-17-jdk-headless python3-dev python3-pip python3-poetry python3-setuptools python3-wheel ruby-dev
)
quietly apt-get install -y --no-install-recommends "${packages[@]}"
# Debian 12 itself has a Go from 2022.
backports=/etc/apt/sources.list.d/backports.list
apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
  awk '$2 == "bookworm" { print "deb " $1 " bookworm-backports main" }' | sort -u > "$backports"
quietly apt-get update
quietly apt-get install -y --no-install-recommends -t bookworm-backports golang-1.23-go
rm "$backports"
ln -s ../lib/go-1.23/bin/go ../lib/go-1.23/bin/gofmt /usr/bin/
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log

echo "Installing the headers of Node.js"
tar -xzf "$recipe/node.tgz" -C /opt/dynodock/node --strip-components=1 --no-same-owner package/include

# A fresh named volume takes over the owner of the folder it is mounted on.
install -d -o dyno -g dyno -m 755 /cache
echo "Done"
