#!/usr/bin/env bash
# Makes the image of memcached add-ons out of minimal Debian: its server, which is built with SASL, the PLAIN mechanism,
# and the program that writes the file of passwords.
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

echo "Installing memcached"
quietly apt-get update
quietly apt-get install -y --no-install-recommends memcached libsasl2-modules
# The one program out of a package whose others want Kerberos and LDAP.
cd /tmp
quietly apt-get -o APT::Sandbox::User=root download sasl2-bin
dpkg-deb --fsys-tarfile sasl2-bin_*.deb | tar -x -C / ./usr/sbin/saslpasswd2
rm -f sasl2-bin_*.deb

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
echo "Done"
