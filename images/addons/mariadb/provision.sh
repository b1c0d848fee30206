#!/usr/bin/env bash
# Makes the image of MariaDB add-ons out of minimal Debian: its server, and the system tables that a fresh volume begins
# with, so that nothing has to be initialised when an add-on is created.
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

echo "Installing MariaDB"
quietly apt-get update
quietly apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core
# The one program out of a package whose others want half of CPAN.
cd /tmp
quietly apt-get -o APT::Sandbox::User=root download mariadb-client
dpkg-deb --fsys-tarfile mariadb-client_*.deb | tar -x -C / ./usr/bin/mariadb-dump
rm -f mariadb-client_*.deb
rm -f /usr/bin/innochecksum /usr/bin/mariadb-check /usr/bin/mariadb-upgrade

groupadd --system mysql
useradd --system --gid mysql --home-dir /nonexistent --shell /usr/sbin/nologin mysql

# The engine copies it, owner and all, into each new volume: small logs make that quick. Whoever runs as mysql inside is
# the superuser, by the socket alone.
echo "Initialising a database"
data=/var/lib/mysql
install -d -o mysql -g mysql -m 700 "$data"
quietly setpriv --reuid=mysql --regid=mysql --clear-groups \
  mariadb-install-db --no-defaults --datadir="$data/data" --skip-test-db --skip-name-resolve \
  --auth-root-authentication-method=socket --auth-root-socket-user=mysql \
  --innodb-log-file-size=16M --innodb-use-native-aio=0

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
echo "Done"
