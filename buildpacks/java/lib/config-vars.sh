# Config vars during the build. The same file in several buildpacks, as output.sh is.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Config vars that would change how the build itself works rather than the app, and what bash does not let us set.
blocked_config_vars='^(PATH|HOME|IFS|BASH_ENV|ENV|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LD_LIBRARY_PATH|LIBRARY_PATH|PYTHONPATH|JAVA_OPTS|JAVA_TOOL_OPTIONS|BUILDPACK_URL|STACK|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$'

# ENV_DIR has one file per config var; they are not in the environment (Dev Center "Buildpack API").
export_config_vars() {
  local directory="$1" file name
  [[ -n $directory && -d $directory ]] || return 0
  for file in "$directory"/*; do
    [[ -f $file ]] || continue
    name="${file##*/}"
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $blocked_config_vars ]] || continue
    export "$name=$(< "$file")"
  done
}

# procfile_has_web DIRECTORY
procfile_has_web() {
  [[ -f "$1/Procfile" ]] && grep -Eq '^web[[:space:]]*:' "$1/Procfile"
}
