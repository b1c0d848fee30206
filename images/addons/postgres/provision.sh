#!/usr/bin/env bash
# Makes the image of Postgres add-ons out of minimal Debian: its server, and a cluster that a fresh volume begins with,
# so that nothing has to be initialised when an add-on is created.
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

echo "Installing PostgreSQL"
quietly apt-get update --error-on=any
# Debian's own cluster of the machine is not wanted.
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
quietly apt-get install -y --no-install-recommends postgresql-15
ln -s /usr/lib/postgresql/15/bin/* /usr/local/bin/ 2> /dev/null || true

# The same place as in the official image. The engine copies it, owner and all, into each new volume.
echo "Initialising a cluster"
data=/var/lib/postgresql/data
install -d -o postgres -g postgres -m 700 "$data"
quietly setpriv --reuid=postgres --regid=postgres --clear-groups \
  initdb --pgdata="$data/pgdata" --username=postgres --auth-local=peer --auth-host=scram-sha-256 \
  --encoding=UTF8 --locale=C.UTF-8 --data-checksums

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
  /usr/share/postgresql/15/man /usr/share/locale
echo "Done"
