# Environment of a Ruby dyno that depends on its memory; config vars win over these defaults.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# glibc keeps memory per thread, which a dyno has too little of (Dev Center "Tuning glibc Memory Behavior").
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"
export DISABLE_SPRING="${DISABLE_SPRING:-1}"
export LANG="${LANG:-C.UTF-8}"
# Only for those who ask for it, as on Heroku: Puma would start that many processes.
if [[ -n ${SENSIBLE_DEFAULTS:-} ]]; then
  __ruby_memory_mb="${MEMORY_AVAILABLE:-512}"
  if [[ -z ${WEB_CONCURRENCY:-} ]]; then
    WEB_CONCURRENCY=2
    if [[ $__ruby_memory_mb =~ ^[1-9][0-9]*$ ]]; then
      if ((__ruby_memory_mb >= 14336)); then
        WEB_CONCURRENCY=28
      elif ((__ruby_memory_mb >= 2560)); then
        WEB_CONCURRENCY=5
      elif ((__ruby_memory_mb >= 1024)); then
        WEB_CONCURRENCY=4
      fi
    fi
  fi
  unset __ruby_memory_mb
  export WEB_CONCURRENCY
  export RAILS_MAX_THREADS="${RAILS_MAX_THREADS:-5}"
fi
