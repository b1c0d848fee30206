# Environment of a Python dyno; config vars win over these defaults.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED="${PYTHONUNBUFFERED:-true}"
export PYTHONHASHSEED="${PYTHONHASHSEED:-random}"
export PYTHONPATH="${PYTHONPATH:-$HOME}"
export LANG="${LANG:-C.UTF-8}"
# Gunicorn logs requests, and believes the router, which is all that can reach a dyno.
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS:-*}"
# A Python that the app brought along is whole; one of the stack image has only its packages here.
if [[ ! -f $HOME/.heroku/python/pyvenv.cfg ]]; then
  export PYTHONHOME="$HOME/.heroku/python"
  export LD_LIBRARY_PATH="$HOME/.heroku/python/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export LIBRARY_PATH="$HOME/.heroku/python/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
fi

# The dyno's memory in MB. Without a limit assume the smallest dyno, as a process count must not depend on the host.
__python_memory_mb() {
  local file bytes
  if [[ ${MEMORY_AVAILABLE:-} =~ ^[1-9][0-9]*$ ]]; then
    echo "$MEMORY_AVAILABLE"
    return
  fi
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
export DYNO_RAM="${DYNO_RAM:-$(__python_memory_mb)}"
unset -f __python_memory_mb
# Dev Center "Deploying Python Applications with Gunicorn", "Worker count": by the dyno's size.
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
  WEB_CONCURRENCY=2
  if [[ $DYNO_RAM =~ ^[1-9][0-9]*$ ]]; then
    if ((DYNO_RAM >= 14336)); then
      WEB_CONCURRENCY=17
    elif ((DYNO_RAM >= 2560)); then
      WEB_CONCURRENCY=5
    elif ((DYNO_RAM >= 1024)); then
      WEB_CONCURRENCY=4
    fi
  fi
fi
export WEB_CONCURRENCY
