#!/bin/bash
# Entrypoint of the images of `dynodock build`: start-process [<process type> | <command> [<argument>…]]
#
# Starts a process type of the Procfile (one file each, with its command, beside this script) or any command, both with
# the environment of a dyno. A single argument may be a whole command line, as with `heroku run`.
types="$(dirname "${BASH_SOURCE[0]}")/process-types"
if (($# == 0)); then
  exec /usr/local/bin/dyno-launch
elif (($# > 1)); then
  # The launcher takes a command line: what the arguments were has to survive that.
  exec /usr/local/bin/dyno-launch "$(printf '%q ' "$@")"
elif [[ $1 != */* && -f $types/$1 ]]; then
  exec /usr/local/bin/dyno-launch "$(< "$types/$1")"
else
  exec /usr/local/bin/dyno-launch "$1"
fi
