# composer.json, its lock file, and Composer.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

read_composer_json() {
  local error
  # As in Composer: the name of another file.
  composer_json="${COMPOSER:-composer.json}"
  composer_lock="${composer_json%.json}.lock"
  vendor_dir=vendor
  bin_dir=vendor/bin
  if [[ ! -f $composer_json ]]; then
    [[ -z ${COMPOSER:-} ]] || fail "The config var COMPOSER names a file that is not there: $COMPOSER"
    has_composer_json=no
    warn "There is no composer.json: add one to say which PHP and which extensions the app needs."
    return 0
  fi
  has_composer_json=yes
  # An empty file counts as an empty object.
  if [[ ! -s $composer_json ]]; then
    echo '{}' > "$composer_json"
    warn "$composer_json is empty: it should contain at least {}."
  fi
  if ! error="$(jq empty "$composer_json" 2>&1)"; then
    fail "$composer_json is not valid JSON:" "${error#jq: }"
  fi
  [[ $(jq -r type "$composer_json") == object ]] || fail "$composer_json must contain a JSON object."
  vendor_dir="$(jq -r '.config."vendor-dir"? // "vendor" | tostring' "$composer_json")"
  bin_dir="$(jq -r --arg vendor "$vendor_dir" '.config."bin-dir"? // "\($vendor)/bin" | tostring' "$composer_json")"
  vendor_dir="${vendor_dir%/}"
  # $vendor-dir is Composer's own placeholder.
  # shellcheck disable=SC2016
  bin_dir="${bin_dir/'{$vendor-dir}'/"$vendor_dir"}"
  bin_dir="${bin_dir%/}"
}

# Packages have a slash in their names, what the platform provides (php, ext-redis, lib-icu) has none.
required_packages() {
  jq -r --arg section "$1" '.[$section] | if type == "object" then keys[] | select(contains("/")) else empty end' \
    "$composer_json"
}

require_lock_file() {
  [[ $has_composer_json == yes ]] || return 0
  local error section
  if [[ -f $composer_lock ]]; then
    if ! error="$(jq -e 'type == "object"' "$composer_lock" 2>&1)"; then
      fail "$composer_lock is not valid JSON:" "${error#jq: }" "Run composer update on your machine and commit it."
    fi
    return 0
  fi
  for section in require require-dev; do
    if [[ -n $(required_packages "$section") ]]; then
      fail "ERROR: Your $composer_json lists dependencies inside '$section', but there is no '$composer_lock'." \
        "Run composer update on your machine, add $composer_lock to git and push again." \
        "Without it each build could install other versions."
    fi
  done
}

# check_platform --no-dev|--dev: what the app and its packages require of PHP and extensions, compared with what is here.
check_platform() {
  local status=0 report
  report="$(php "$buildpack_dir/lib/platform.php" "$composer_json" "$composer_lock" "$@" 2>&1)" || status=$?
  case "$status" in
    0) indent <<< "$report" ;;
    3)
      local lines
      mapfile -t lines <<< "$report"
      fail "${lines[@]}"
      ;;
    *)
      indent <<< "$report"
      fail "The requirements of the app could not be compared with the platform (status $status)."
      ;;
  esac
}

set_composer_environment() {
  export COMPOSER_CACHE_DIR="$cache_dir/composer"
  # Credentials are written there, so that it is not kept.
  COMPOSER_HOME="$(mktemp -d)"
  export COMPOSER_HOME
  export COMPOSER_NO_INTERACTION=1 COMPOSER_MEMORY_LIMIT="${COMPOSER_MEMORY_LIMIT:--1}"
  export COMPOSER_PROCESS_TIMEOUT="${COMPOSER_PROCESS_TIMEOUT:-0}" COMPOSER_NO_AUDIT=1
  # It would break its messages, and names in them, to the width of a terminal.
  export COLUMNS=500
  mkdir -p "$COMPOSER_CACHE_DIR"
  if [[ -n ${COMPOSER_GITHUB_OAUTH_TOKEN:-} ]]; then
    (umask 077 && jq -n '{"github-oauth": {"github.com": $ENV.COMPOSER_GITHUB_OAUTH_TOKEN}}' > "$COMPOSER_HOME/auth.json")
    line "Using the token in COMPOSER_GITHUB_OAUTH_TOKEN for github.com"
  fi
}

# install_dependencies --no-dev|--dev
install_dependencies() {
  local dev="$1"
  if [[ $has_composer_json == no ]]; then
    line "No composer.json, nothing to install"
    echo
    return 0
  fi
  [[ ! -f $vendor_dir/autoload.php && ! -d $vendor_dir/composer ]] ||
    warn "The folder $vendor_dir is part of the repository; Composer makes it fit $composer_lock, or add it to .gitignore."
  line "$(composer --version --no-ansi 2> /dev/null | sed -E 's/^(Composer version [^ ]+).*/\1/')"
  local flags=(--prefer-dist --optimize-autoloader --no-interaction --no-progress --no-ansi)
  [[ $dev == --dev ]] || flags+=(--no-dev)
  # With nothing locked there is nothing to resolve: this makes the autoloader.
  if [[ ! -f $composer_lock ]]; then
    run_logged composer update "${flags[@]}" || explain_failure "composer install failed."
    rm -f "$composer_lock"
  else
    run_logged composer install "${flags[@]}" || explain_failure "composer install failed."
  fi
  echo
}

# `compile` in the scripts of composer.json (Dev Center "Deploying PHP Apps", "Custom compile step").
run_compile_script() {
  [[ $has_composer_json == yes ]] && jq -e '.scripts | objects | .compile' "$composer_json" > /dev/null || return 0
  header "Running 'composer compile'"
  local flags=(--no-interaction --no-ansi)
  [[ $1 == --dev ]] || flags+=(--no-dev)
  run_logged composer run-script "${flags[@]}" compile ||
    fail "The script \"compile\" of $composer_json failed: the lines above say why."
  echo
}

# explain_failure WHAT: ends the build; the output above has the details.
explain_failure() {
  local what="$1" log host
  log="$(< "$command_log")"
  if host="$(unreachable_host "$command_log")"; then
    fail "$what" "$host could not be reached: is the network down?" \
      "With the folder $vendor_dir committed, or with repositories of type path or artifact, a build needs no network."
  fi
  case "$log" in
    *'lock file is not up to date'* | *'is not present in the lock file'*)
      fail "$what" "$composer_json and $composer_lock do not fit together: run composer update on your machine and" \
        "commit $composer_lock."
      ;;
    *'authentication required'* | *'Could not authenticate'* | *'API limit'*)
      fail "$what" "A server wants credentials: set the config vars COMPOSER_AUTH or COMPOSER_GITHUB_OAUTH_TOKEN."
      ;;
    *)
      fail "$what" "The lines above say why."
      ;;
  esac
}
