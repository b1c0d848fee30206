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
  fail "The Node.js buildpack stopped unexpectedly (line $1 of bin/compile)."
}
