#!/usr/bin/env bash
# Runs buildpacks inside a build container: runner.sh detect|listed <build dir> <mtime>
#
# The daemon has put here: this script, env/ (one file per config var), the file buildpacks (one line per buildpack:
# kind, name, URL and git reference, separated by 0x1f) and folders buildpacks.d/<line number> with those of kind
# `directory`. The sources are in the build dir.
#
# Everything that buildpacks print goes to the container's standard error. Standard output carries the result: one
# line of JSON, either {"failure": …} or {"slug": …}, and after the latter the slug as a tar. The contract of the
# scripts that are called is Dev Center's "Buildpack API".
set -uo pipefail

mode=$1
build_dir=$2
mtime=$3
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache_volume=/cache
cache_dir=$cache_volume/data
# What a process started by a buildpack must not inherit is this descriptor: with it open, the result has no end.
exec 3>&1 1>&2 < /dev/null

# fail <kind> <name of the buildpack> [<what it called the app>] [<detail>]
fail() {
  jq --null-input --compact-output --arg kind "$1" --arg buildpack "$2" --arg name "${3-}" --arg detail "${4-}" \
    '{failure: {kind: $kind, buildpack: $buildpack, name: $name, detail: $detail}}' >&3
  exit 1
}

exports=()
# Runs a script the way later buildpacks see the world: with what earlier ones exported.
run() {
  (
    exec 3>&-
    set +u
    for file in "${exports[@]}"; do
      # shellcheck source=/dev/null
      source "$file"
    done
    exec "$@"
  )
}

fetch_git() {
  local url=$1 ref=$2 target=$3
  export GIT_TERMINAL_PROMPT=0
  # A server that stops sending is given up after half a minute.
  local git=(git -c advice.detachedHead=false -c http.lowSpeedLimit=1 -c http.lowSpeedTime=30)
  if [[ -z $ref ]]; then
    "${git[@]}" clone --quiet --depth 1 -- "$url" "$target" || return
  else
    # Names of branches and tags can always be fetched, commits only if the server allows it.
    { git init --quiet "$target" && "${git[@]}" -C "$target" fetch --quiet --depth 1 -- "$url" "$ref" &&
      "${git[@]}" -C "$target" checkout --quiet FETCH_HEAD; } || {
      rm -rf "$target"
      "${git[@]}" clone --quiet -- "$url" "$target" && "${git[@]}" -C "$target" checkout --quiet "$ref" -- || return
    }
  fi
  [[ ! -f $target/.gitmodules ]] || "${git[@]}" -C "$target" submodule --quiet update --init --recursive --depth 1
}

fetch_archive() {
  local url=$1 target=$2
  mkdir -p "$target"
  curl --silent --show-error --fail --location --retry 2 --connect-timeout 30 --speed-limit 1 --speed-time 30 \
    --output "$target.tgz" "$url" && tar -xzf "$target.tgz" -C "$target" || return
  # Archives made by code hosts have one folder around everything.
  local entries=("$target"/*)
  if [[ ! -d $target/bin && ${#entries[@]} -eq 1 && -d ${entries[0]}/bin ]]; then
    mv "${entries[0]}" "$target.inner" && rm -rf "$target" && mv "$target.inner" "$target"
  fi
}

names=()
folders=()
number=0
while IFS=$'\x1f' read -r kind name url ref; do
  number=$((number + 1))
  folder=$here/buildpacks.d/$number
  case $kind in
    directory) ;;
    git) fetch_git "$url" "$ref" "$folder" 2> "$here/fetch.log" 3>&- ;;
    archive) fetch_archive "$url" "$folder" 2> "$here/fetch.log" 3>&- ;;
  esac || fail fetch "$name" '' "$(grep -v '^[[:space:]]*$' "$here/fetch.log" | tail -n 1 | cut -c 1-300)"
  for script in detect compile; do
    [[ -f $folder/bin/$script ]] || fail invalid "$name" '' "it has no bin/$script"
    # Archives that were made on other systems have lost the bit.
    [[ -x $folder/bin/$script ]] || chmod +x "$folder/bin/$script"
  done
  names+=("$name")
  folders+=("$folder")
done < "$here/buildpacks"

cd "$build_dir" || fail container '' '' 'the source is not there'

if [[ $mode == detect ]]; then
  found=
  for index in "${!folders[@]}"; do
    # Those that do not apply have nothing to say that would help.
    if run "${folders[index]}/bin/detect" "$build_dir" > /dev/null 2>&1; then
      found=$index
      break
    fi
  done
  [[ -n $found ]] || fail not_detected ''
  names=("${names[found]}")
  folders=("${folders[found]}")
fi

# A cache made for another stack or by other buildpacks would only confuse these.
cache_key="$(printf '%s\n' "${STACK-}" "${names[@]}")"
if [[ ! -f $cache_volume/key || "$(< $cache_volume/key)" != "$cache_key" ]]; then
  rm -rf "$cache_dir"
fi
if ! { mkdir -p "$cache_dir" && printf '%s' "$cache_key" > $cache_volume/key; }; then
  fail container '' '' 'the build cache is not writable'
fi

for index in "${!folders[@]}"; do
  folder=${folders[index]}
  name=${names[index]}
  # Its standard error may say why it does not apply.
  app="$(run "$folder/bin/detect" "$build_dir")" || fail incompatible "$name"
  app="${app%%$'\n'*}"
  app="${app:0:100}"
  app="${app:-$name}"
  printf -- '-----> %s app detected\n' "$app"
  run "$folder/bin/compile" "$build_dir" "$cache_dir" "$here/env" || fail compile "$name" "$app"
  if [[ -f $folder/export ]]; then exports+=("$folder/export"); fi
done

: > "$here/release.yml"
if [[ -f $folder/bin/release ]]; then
  [[ -x $folder/bin/release ]] || chmod +x "$folder/bin/release"
  run "$folder/bin/release" "$build_dir" > "$here/release.full" || fail release "$name" "$app"
  # More than anybody writes by hand is a program gone wrong; the daemon reads this as one line.
  head -c 262144 "$here/release.full" > "$here/release.yml"
fi

# What compile left running must not change files while they are packed. Signals neither this process nor the first.
kill -KILL -- -1 2> /dev/null

procfile=(--argjson procfile null)
if [[ -f $build_dir/Procfile ]]; then
  head -c 262144 "$build_dir/Procfile" > "$here/Procfile"
  procfile=(--rawfile procfile "$here/Procfile")
fi
jq --null-input --compact-output "${procfile[@]}" --rawfile release "$here/release.yml" --arg app "$app" \
  '{slug: {app: $app, buildpacks: $ARGS.positional, procfile: $procfile, release: $release}}' \
  --args "${names[@]}" >&3 || exit 1

# The same files give the same bytes, whoever made them and when.
LC_ALL=C tar --create --file=- --format=gnu --sort=name --owner=10001 --group=10001 --numeric-owner \
  --mtime="@$mtime" --transform='flags=rhS;s,^\.,app,' --anchored --exclude=./.git --exclude=./.gitmodules \
  --directory="$build_dir" . >&3
