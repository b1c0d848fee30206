# Environment of a Node.js dyno; config vars win over these defaults.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV="${NODE_ENV:-production}"
export PATH="$HOME/.heroku/node-tools/bin:$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"

# The dyno's memory in MB. Without a limit assume the smallest dyno, as a process count must not depend on the host.
__node_memory_mb() {
  local file bytes
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [[ -r $file ]] || continue
    bytes="$(< "$file")"
    # cgroup v1 says "no limit" with a number near 2^63.
    if [[ $bytes =~ ^[0-9]+$ ]] && ((${#bytes} < 15)); then
      echo $((bytes / 1024 / 1024))
      return
    fi
  done
  echo 512
}
if [[ -z ${MEMORY_AVAILABLE:-} ]]; then
  MEMORY_AVAILABLE="$(__node_memory_mb)"
fi
unset -f __node_memory_mb
export MEMORY_AVAILABLE
export WEB_MEMORY="${WEB_MEMORY:-512}"
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
  WEB_CONCURRENCY=1
  if [[ $WEB_MEMORY =~ ^[1-9][0-9]*$ ]] && ((MEMORY_AVAILABLE / WEB_MEMORY > 1)); then
    WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
  fi
fi
export WEB_CONCURRENCY
