# Everything a user sees, in the form that Heroku's build output has. The same file in several buildpacks, because a
# buildpack has to be complete in itself.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

header() {
  echo "-----> $*"
}

line() {
  echo "       $*"
}

indent() {
  sed -u 's/^/       /'
}

# Warnings come at the end, where they are seen.
warnings=()
warn() {
  warnings+=("$*")
}

show_warnings() {
  local warning
  for warning in "${warnings[@]}"; do
    echo " !     $warning"
  done
}

# fail LINE...: ends the build with a reason.
fail() {
  trap - ERR
  echo " !"
  local text
  for text in "$@"; do
    echo " !     $text"
  done
  echo " !"
  exit 1
}

unexpected_failure() {
  fail "The $buildpack_name buildpack stopped unexpectedly (line $1 of bin/$2)."
}

# run_logged COMMAND...: shows the output indented and keeps it in $command_log.
run_logged() {
  command_log="$(mktemp)"
  local status=0
  # The command must not read the build's own input.
  "$@" < /dev/null 2>&1 | tee "$command_log" | indent || status=$?
  return "$status"
}

# unreachable_host FILE: the host that a log says could not be reached; status 1 if it says no such thing. Understands
# what curl, Go, Java (Maven) and PHP (Composer) print.
unreachable_host() {
  local host
  host="$(sed -nE \
    -e 's/.*lookup ([A-Za-z0-9.-]+)( on [^ ]+)?: .*/\1/p' \
    -e 's/.*dial tcp ([0-9A-Za-z.:-]+): .*/\1/p' \
    -e 's/.*curl error [0-9]+ while downloading [a-z]+:\/\/([A-Za-z0-9.-]+).*/\1/p' \
    -e 's/.*Could not resolve host: ([A-Za-z0-9.-]+).*/\1/p' \
    -e 's/.*Failed to connect to ([A-Za-z0-9.-]+) .*/\1/p' \
    -e 's/.*Unknown host ([A-Za-z0-9.-]+).*/\1/p' \
    -e 's/.*UnknownHostException: ([A-Za-z0-9.-]+).*/\1/p' \
    -e 's/.*Connect to ([A-Za-z0-9.:-]+) .*failed.*/\1/p' \
    -e 's/.*transfer failed for [a-z]+:\/\/([A-Za-z0-9.:-]+)\/.*(imed out|refused|unreachable|PKIX).*/\1/p' \
    "$1" | head -n 1)"
  [[ -n $host ]] && echo "$host"
}
