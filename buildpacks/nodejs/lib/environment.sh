# Config vars and defaults of the build, profile script and export file.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Config vars that would change how the build itself works rather than the app, and what bash does not let us set.
blocked_config_vars='^(PATH|HOME|IFS|BASH_ENV|ENV|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LD_LIBRARY_PATH|LIBRARY_PATH|PYTHONPATH|JAVA_OPTS|JAVA_TOOL_OPTIONS|BUILDPACK_URL|STACK|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$'

# ENV_DIR has one file per config var; they are not in the environment (Dev Center "Buildpack API").
export_config_vars() {
  local directory="$1" file name
  config_vars_hash=none
  [[ -n $directory && -d $directory ]] || return 0
  for file in "$directory"/*; do
    [[ -f $file ]] || continue
    name="${file##*/}"
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $blocked_config_vars ]] || continue
    export "$name=$(< "$file")"
  done
  config_vars_hash="$(cd "$directory" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum | sha256sum)"
}

set_build_environment() {
  export NODE_ENV="${NODE_ENV:-production}"
  export NODE_MODULES_CACHE="${NODE_MODULES_CACHE:-true}"
  export NPM_CONFIG_LOGLEVEL="${NPM_CONFIG_LOGLEVEL:-error}"
  # What the user set, if anything: it decides about devDependencies. npm itself is told with --omit and --include,
  # because this setting is deprecated there.
  production_only="${NPM_CONFIG_PRODUCTION:-${YARN_PRODUCTION:-}}"
  unset NPM_CONFIG_PRODUCTION YARN_PRODUCTION
  export npm_config_cache="$cache_dir/npm"
  export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
  # npm's own pauses between attempts add up to more than a minute before it says that there is no network.
  export npm_config_fetch_retry_mintimeout=1000 npm_config_fetch_retry_maxtimeout=5000
  export YARN_CACHE_FOLDER="$cache_dir/yarn" YARN_ENABLE_TELEMETRY=0 YARN_ENABLE_GLOBAL_CACHE=false
  export npm_config_store_dir="$cache_dir/pnpm"
  # Node.js has its own list of authorities; the host's bundle may be mounted over the system's.
  if [[ -z ${NODE_EXTRA_CA_CERTS:-} && -r /etc/ssl/certs/ca-certificates.crt ]]; then
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
  fi
}

show_build_environment() {
  local name
  echo
  for name in NPM_CONFIG_LOGLEVEL NODE_ENV NODE_MODULES_CACHE; do
    line "$name=${!name}"
  done
  [[ -z $production_only ]] || line "NPM_CONFIG_PRODUCTION=$production_only"
  echo
}

# Sourced when a dyno starts. Paths are those of the dyno, not of the build.
write_profile_scripts() {
  mkdir -p .profile.d
  cp "$buildpack_dir/lib/profile.sh" .profile.d/nodejs.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find Node.js: this one's folder is not writable."
    return 0
  fi
  {
    # shellcheck disable=SC2016 # $PATH is for whoever sources the file
    printf 'export PATH=%q:"$PATH"\n' "$build_dir/.heroku/node-tools/bin:$build_dir/.heroku/node/bin:$build_dir/node_modules/.bin"
    printf 'export NODE_HOME=%q\n' "$build_dir/.heroku/node"
    printf 'export NODE_ENV=%q\n' "$NODE_ENV"
  } > "$buildpack_dir/export"
}
