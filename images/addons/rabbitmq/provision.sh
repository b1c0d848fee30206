#!/usr/bin/env bash
# Makes the image of RabbitMQ add-ons out of minimal Debian: Erlang, the server, and the empty database that a fresh
# volume begins with.
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

echo "Installing Erlang and RabbitMQ"
quietly apt-get update
quietly apt-get install -y --no-install-recommends erlang-base erlang-crypto erlang-eldap erlang-inets erlang-mnesia \
  erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-ssl erlang-syntax-tools erlang-tools \
  erlang-xmerl
# Without what it asks for besides: Python, cron, socat. Nothing of that is used to serve.
cd /tmp
quietly apt-get -o APT::Sandbox::User=root download rabbitmq-server
dpkg-deb --fsys-tarfile rabbitmq-server_*.deb | tar -x -C / ./usr/lib/rabbitmq
rm -f rabbitmq-server_*.deb

# The server looks for each of its modules in all folders of plugins: without those that are not used it starts in half
# the time. Who wants one adds the other folder to RABBITMQ_PLUGINS_DIR.
cd /usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins
mkdir /usr/lib/rabbitmq/more-plugins
shopt -s extglob
mv rabbitmq_!(prelaunch-*) accept-* amqp10_client-* base64url-* cowboy-* cowlib-* eetcd-* gun-* jose-* prometheus-* \
  quantile_estimator-* /usr/lib/rabbitmq/more-plugins/
cd /

groupadd --system rabbitmq
useradd --system --gid rabbitmq --home-dir /data --shell /usr/sbin/nologin rabbitmq
install -d -o rabbitmq -g rabbitmq -m 700 /data
install -d -o rabbitmq -g rabbitmq /var/log/rabbitmq

# Under the node's name and in the folder that the add-on's server has. Definitions without anything: else there would
# be a user guest. The cookie is a secret, which each add-on makes for itself.
echo "Initialising a database"
settings="$(mktemp -d)"
echo '{}' > "$settings/definitions.json"
printf 'load_definitions = %s/definitions.json\nlog.file = false\n' "$settings" > "$settings/rabbitmq.conf"
echo '[].' > "$settings/enabled_plugins"
chmod -R a+rX "$settings"
initialise() {
  setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups env HOME=/data RABBITMQ_NODENAME=rabbit@localhost \
    RABBITMQ_MNESIA_BASE=/data/mnesia RABBITMQ_LOGS=- RABBITMQ_CONFIG_FILE="$settings/rabbitmq.conf" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$settings/enabled_plugins" /usr/lib/rabbitmq/bin/rabbitmq-server &
  local server=$! tries=0
  until (exec 3<> /dev/tcp/127.0.0.1/5672) 2> /dev/null; do
    kill -0 "$server" && [ "$((tries += 1))" -lt 600 ] || return 1
    sleep 0.2
  done
  kill "$server"
  wait "$server"
}
quietly initialise
rm -rf "$settings" /data/.erlang.cookie /data/mnesia/*.pid /data/mnesia/*-plugins-expand

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
echo "Done"
