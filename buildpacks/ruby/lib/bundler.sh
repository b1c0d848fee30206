# Bundler itself, and the gems.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# The lock file is best read by a Bundler that is not older than the one that wrote it.
install_bundler() {
  local installed
  installed="$(env -u BUNDLER_VERSION bundle --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | tail -n 1)"
  bundler_version="$installed"
  if [[ -n $bundled_with && $(printf '%s\n' "$bundled_with" "$installed" | sort -V | tail -n 1) != "$installed" ]]; then
    if fetch_bundler; then
      bundler_version="$bundled_with"
    else
      warn "Gemfile.lock was made by Bundler $bundled_with, which could not be fetched:" "used Bundler $installed instead."
    fi
  fi
  # Bundler would look for the version of the lock file by itself, in dynos as well.
  export BUNDLER_VERSION="$bundler_version"
  header "Installing bundler $bundler_version"
}

fetch_bundler() {
  local store="$cache_dir/ruby/bundler-$bundled_with-${gem_scope##*/}"
  if [[ ! -f $store/specifications/bundler-$bundled_with.gemspec ]]; then
    rm -rf "$store" "$store.new"
    timeout 120 "$ruby_command" -S gem install bundler --version "$bundled_with" --install-dir "$store.new" \
      --no-document --clear-sources --source "${BUNDLE_MIRROR__ALL:-https://rubygems.org/}" > /dev/null 2>&1 || return 1
    mv "$store.new" "$store"
  fi
  mkdir -p "$gem_dir"
  cp -a "$store/." "$gem_dir/"
  rm -rf "${gem_dir:?}"/{cache,bin}
}

# The build's folder is new: what is there now was committed.
remove_checked_in_bundle() {
  [[ -d vendor/bundle ]] || return 0
  rm -rf vendor/bundle
  warn "Removing \`vendor/bundle\`." "Checking in \`vendor/bundle\` is not supported." \
    "Please remove this directory and add it to your .gitignore." \
    "To vendor your gems with Bundler, use \`bundle cache\` instead."
}

cache_signature() {
  echo "stack=${STACK:-} ruby=$ruby_version"
}

restore_cache() {
  local store="$cache_dir/ruby/bundle"
  [[ -f $cache_dir/ruby/signature ]] || return 0
  if [[ $(< "$cache_dir/ruby/signature") != "$(cache_signature)" ]]; then
    line "Purging cache: the version of Ruby or the stack has changed"
    rm -rf "$store" "$cache_dir/ruby/signature"
    return 0
  fi
  mkdir -p vendor/bundle
  cp -a "$store/." vendor/bundle/
}

save_cache() {
  rm -rf "$cache_dir/ruby/signature" "$cache_dir/ruby/bundle"
  mkdir -p "$cache_dir/ruby"
  if [[ -d vendor/bundle ]]; then cp -a vendor/bundle "$cache_dir/ruby/bundle"; else mkdir "$cache_dir/ruby/bundle"; fi
  # Last, because without it nothing is restored.
  cache_signature > "$cache_dir/ruby/signature"
}

install_gems() {
  local began=$SECONDS arguments=(install -j4)
  header "Installing dependencies using bundler $bundler_version"
  line "Running: BUNDLE_WITHOUT='$BUNDLE_WITHOUT' BUNDLE_PATH=vendor/bundle BUNDLE_BIN=vendor/bundle/bin BUNDLE_DEPLOYMENT=1 bundle ${arguments[*]}"
  run_logged bundle "${arguments[@]}" || explain_failure
  line "Bundle completed ($((SECONDS - began))s)"
  line "Cleaning up the bundler cache."
  # Gems of an earlier lock file. Without deployment mode's check, which asks the same as above.
  bundle clean > /dev/null 2>&1 || true
  make_relocatable
}

# Nothing in the slug may know the folder in which it was built.
make_relocatable() {
  local file
  [[ -d vendor/bundle ]] || return 0
  rm -rf vendor/bundle/ruby/*/cache/*.gem
  # It chooses a version of Bundler by rules of its own.
  rm -f vendor/bundle/bin/bundle
  hash -r
  # Left over from compiling extensions: logs, makefiles and objects.
  find vendor/bundle/ruby/*/extensions vendor/bundle/ruby/*/gems/*/ext vendor/bundle/ruby/*/bundler/gems/*/ext \
    \( -name gem_make.out -o -name mkmf.log -o -name Makefile -o -name '*.o' \) -type f -delete 2> /dev/null || true
  # Debug information names the source files.
  while IFS= read -r -d '' file; do
    strip --strip-debug "$file" 2> /dev/null || true
  done < <(find vendor/bundle -name '*.so' -type f -print0)
  while IFS= read -r -d '' file; do
    sed -i "1s|^#!$build_dir/vendor/ruby-[^/]*/bin/ruby|#!/usr/bin/env ruby|" "$file"
  done < <(find vendor/bundle/ruby/*/bin vendor/bundle/bin -type f -print0 2> /dev/null)
}

# explain_failure: ends the build; the output above has the details.
explain_failure() {
  local what="Failed to install gems via Bundler." log host platform
  log="$(< "$command_log")"
  case "$log" in
    *'Could not reach host'* | *'Could not fetch specs'* | *'Network error while fetching'* | *'Retrying fetcher due to error'*)
      host="$(grep -oE 'Could not reach host [^ ]+' "$command_log" | head -n 1 | cut -d ' ' -f 5 | sed 's/\.$//' || true)"
      [[ -n $host ]] || host="$(grep -oE 'https?://[^ /]+' "$command_log" | head -n 1 | sed -E 's,.*[/@],,' || true)"
      fail "$what" "${host:-rubygems.org} could not be reached: is the network down?"
      ;;
    *'Your bundle only supports platforms'* | *'your local platform is'*)
      platform="$("$ruby_command" -e 'print Gem::Platform.local')"
      fail "$what" "Gemfile.lock was made on another kind of machine and lacks this one's platform." \
        "Run 'bundle lock --add-platform $platform' on your machine and commit Gemfile.lock."
      ;;
    *'Your Ruby version is'*)
      fail "$what" "The Gemfile asks for another Ruby than $ruby_version: see the lines above."
      ;;
    *'deployment mode after changing'* | *'The dependencies in your gemfile changed'* | *'frozen mode'* | *'the lockfile is frozen'* | *'the lockfile could not be updated'* | *'because frozen'*)
      fail "$what" "Gemfile and Gemfile.lock do not fit together:" \
        "run 'bundle install' on your machine and commit the changed Gemfile.lock."
      ;;
    *'Failed to build gem native extension'*)
      fail "$what" "A gem has a part in C that could not be compiled: see the lines above."
      ;;
    *)
      fail "$what" "The lines above say why."
      ;;
  esac
}
