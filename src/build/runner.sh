#!/usr/bin/env bash
# Runs buildpacks inside a build container: runner.sh detect|listed build|test <build dir> <mtime>
#
# The daemon has put here: this script, env/ (one file per config var), the file buildpacks (a name per line) and
# folders buildpacks.d/<line number>. The sources are in the build dir.
#
# Everything that buildpacks print goes to the container's standard error. Standard output carries the result: one
# line of JSON, which is {"failure": …}, {"test": …} or {"slug": …}, and after the last the slug as a tar. The contract
# of the scripts that are called is Dev Center's "Buildpack API" and "Testpack API".
set -uo pipefail

choice=$1
mode=$2
build_dir=$3
mtime=$4
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache_volume=/cache
# What tests leave in a cache is not for the slug.
if [[ $mode == test ]]; then
  cache_dir=$cache_volume/test
  cache_key_file=$cache_volume/test.key
else
  cache_dir=$cache_volume/data
  cache_key_file=$cache_volume/key
fi
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

# check_script <name of the buildpack> <its folder> <script>: makes it runnable, or says why it can't be run.
check_script() {
  local file=$2/bin/$3 first
  # Archives that were made on other systems have lost the bit.
  [[ -x $file ]] || chmod +x "$file"
  first="$(head -c 256 "$file" | LC_ALL=C tr -d '\000')"
  first="${first%%$'\n'*}"
  # The kernel would look for an interpreter whose name ends in a carriage return, and say that there is none.
  if [[ $first == '#!'*$'\r' ]]; then
    fail invalid "$1" '' "the lines of its bin/$3 end in CRLF, as on Windows; they have to end in LF"
  fi
}

names=()
folders=()
number=0
while IFS= read -r name; do
  number=$((number + 1))
  folder=$here/buildpacks.d/$number
  # Archives made by code hosts have one folder around everything.
  entries=("$folder"/*)
  if [[ ! -d $folder/bin && ${#entries[@]} -eq 1 && -d ${entries[0]}/bin ]]; then folder=${entries[0]}; fi
  for script in detect compile; do
    [[ -f $folder/bin/$script ]] || fail invalid "$name" '' "it has no bin/$script"
  done
  for script in detect compile release report test-compile test; do
    [[ ! -f $folder/bin/$script ]] || check_script "$name" "$folder" "$script"
  done
  names+=("$name")
  folders+=("$folder")
done < "$here/buildpacks"

cd "$build_dir" || fail container '' '' 'the source is not there'

if [[ $choice == detect ]]; then
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
if [[ $mode == test && ! -f ${folders[-1]}/bin/test ]]; then
  fail invalid "${names[-1]}" '' 'it has no bin/test, and so cannot run tests'
fi

# A cache made for another stack or by other buildpacks would only confuse these.
cache_key="$(printf '%s\n' "${STACK-}" "${names[@]}")"
if [[ ! -f $cache_key_file || "$(< "$cache_key_file")" != "$cache_key" ]]; then
  rm -rf "$cache_dir"
fi
if ! { mkdir -p "$cache_dir" && printf '%s' "$cache_key" > "$cache_key_file"; }; then
  fail container '' '' 'the build cache is not writable'
fi

for index in "${!folders[@]}"; do
  folder=${folders[index]}
  name=${names[index]}
  # Its standard error may say why it does not apply. To a file, for a process that detect leaves behind would hold a
  # pipe open.
  run "$folder/bin/detect" "$build_dir" > "$here/detect.out" || fail incompatible "$name"
  IFS= read -r app < "$here/detect.out" || true
  app="${app//[[:cntrl:]]/}"
  app="${app:0:100}"
  app="${app:-$name}"
  printf -- '-----> %s app detected\n' "$app"
  compile=$folder/bin/compile
  if [[ $mode == test && -f $folder/bin/test-compile ]]; then compile=$folder/bin/test-compile; fi
  run "$compile" "$build_dir" "$cache_dir" "$here/env" || fail compile "$name" "$app"
  [[ -d $build_dir ]] || fail removed "$name" "$app"
  if [[ $mode == build && -f $folder/bin/report ]]; then
    # For whoever collects it, which is nobody here; some rely on being called. No build fails over it.
    run timeout --kill-after=5 30 "$folder/bin/report" "$build_dir" "$cache_dir" "$here/env" > /dev/null 2>&1
  fi
  if [[ -f $folder/export ]]; then exports+=("$folder/export"); fi
done

if [[ $mode == test ]]; then
  # The place and the environment of a dyno. What compile left there is older than the app.
  cp -a "$build_dir/." /app/ || fail container '' '' 'the app could not be put into /app'
  (
    cd /app || exit 127
    exec 3>&-
    set +u
    export CI=true
    for file in "$here"/env/*; do
      [[ -f $file ]] || continue
      value="$(cat "$file" && printf x)"
      export "$(basename "$file")=${value%x}"
    done
    for file in "${exports[@]}" /app/.profile.d/*.sh; do
      # shellcheck source=/dev/null
      [[ ! -f $file ]] || source "$file"
    done
    exec "$folder/bin/test" /app "$here/env"
  )
  status=$?
  kill -KILL -- -1 2> /dev/null
  jq --null-input --compact-output --argjson status "$status" --arg app "$app" \
    '{test: {app: $app, buildpacks: $ARGS.positional, exitCode: $status}}' --args "${names[@]}" >&3
  exit 0
fi

# A buildpack that cleans up /tmp takes this along.
mkdir -p "$here"
: > "$here/release.yml"
if [[ -f $folder/bin/release ]]; then
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
