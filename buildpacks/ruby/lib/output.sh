# Everything a user sees, in the form that Heroku's build output has.
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

# Warnings come at the end, where they are seen. warn LINE...
warnings=()
warn() {
  warnings+=("$(printf '       %s\n' "$@")")
}

show_warnings() {
  local warning
  for warning in "${warnings[@]}"; do
    printf '\n###### WARNING:\n\n%s\n\n' "$warning"
  done
}

# run_logged COMMAND...: shows the output indented and keeps it in $command_log for explain_failure.
run_logged() {
  command_log="$(mktemp)"
  local status=0
  # The command must not read the build's own input.
  "$@" < /dev/null 2>&1 | tee "$command_log" | indent || status=$?
  return "$status"
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
  fail "The Ruby buildpack stopped unexpectedly ($1)."
}
