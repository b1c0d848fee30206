# Config vars and defaults of the build, profile script, export file and the app's own hooks.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Config vars that would change how the build itself works rather than the app, and what bash does not let us set.
blocked_config_vars='^(PATH|HOME|IFS|BASH_ENV|ENV|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LD_LIBRARY_PATH|LIBRARY_PATH|PYTHONHOME|PYTHONPATH|VIRTUAL_ENV|BUILDPACK_URL|STACK|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$'

# ENV_DIR has one file per config var; they are not in the environment (Dev Center "Buildpack API").
export_config_vars() {
  local directory="$1" file name
  [[ -n $directory && -d $directory ]] || return 0
  for file in "$directory"/*; do
    [[ -f $file ]] || continue
    name="${file##*/}"
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $blocked_config_vars ]] || continue
    # Tests are compiled without it, whatever the app says.
    [[ $name != DISABLE_COLLECTSTATIC || -z ${INSTALL_TEST:-} ]] || continue
    export "$name=$(< "$file")"
  done
}

set_build_environment() {
  python_dir="$build_dir/.heroku/python"
  export PATH="$python_dir/bin:$PATH"
  export PYTHONUNBUFFERED=true PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off
  # Without a network its own five attempts take a quarter of a minute for each package.
  export PIP_RETRIES="${PIP_RETRIES:-2}"
  export PIP_NO_WARN_SCRIPT_LOCATION=1 PIP_ROOT_USER_ACTION=ignore
  # Compiled at the end, in a form that does not depend on when and where it was done.
  export PYTHONDONTWRITEBYTECODE=1
  export PIP_CACHE_DIR="$cache_dir/pip" POETRY_CACHE_DIR="$cache_dir/poetry" UV_CACHE_DIR="$cache_dir/uv"
  # What source packages are built with is then there without a network as well; an index that has newer wins.
  export PIP_FIND_LINKS="${PIP_FIND_LINKS:+$PIP_FIND_LINKS }$stock_wheels"
  # pip has its own list of authorities; the host's bundle may be mounted over the system's.
  if [[ -z ${PIP_CERT:-} && -r /etc/ssl/certs/ca-certificates.crt ]]; then
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    export REQUESTS_CA_BUNDLE="${REQUESTS_CA_BUNDLE:-$PIP_CERT}"
  fi
}

# Sourced when a dyno starts. Paths are those of the dyno, not of the build.
write_profile_scripts() {
  mkdir -p .profile.d
  cp "$buildpack_dir/lib/profile.sh" .profile.d/python.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find Python: this one's folder is not writable."
    return 0
  fi
  {
    # shellcheck disable=SC2016 # $PATH is for whoever sources the file
    printf 'export PATH=%q:"$PATH"\n' "$python_dir/bin"
    printf 'export PYTHONUNBUFFERED=true PYTHONPATH=%q\n' "$build_dir"
    if [[ $python_kind == standalone ]]; then
      printf 'export PYTHONHOME=%q\n' "$python_dir"
      printf 'export LD_LIBRARY_PATH=%q LIBRARY_PATH=%q\n' "$python_dir/lib" "$python_dir/lib"
    fi
  } > "$buildpack_dir/export"
}

# run_hook NAME: scripts of the app that run before and after everything else (Dev Center "Python Build Hooks").
run_hook() {
  local hook="bin/$1"
  [[ -f $hook ]] || return 0
  header "Running $hook hook"
  chmod +x "$hook"
  run_logged "$hook" || fail "The hook $hook failed." "The lines above say why."
}
