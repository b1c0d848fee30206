# Gemfile and Gemfile.lock, read once.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

stock_ruby=/usr/bin/ruby

read_gemfile() {
  local assignments error
  if [[ ! -f Gemfile.lock ]]; then
    fail "Gemfile.lock required. Please check it in." "Run 'bundle install' on your machine and add Gemfile.lock to git."
  fi
  clean_bundle_config
  error="$(mktemp)"
  # In a folder of its own, so that no setting of the app changes how this works.
  if ! assignments="$(RUBYOPT='' "$stock_ruby" "$buildpack_dir/lib/gemfile.rb" 2> "$error")"; then
    mapfile -t error < "$error"
    fail "${error[@]:0:20}"
  fi
  # Each value is quoted, so that whatever is in the files stays data.
  eval "$assignments"
}

# Bundler prefers this file over the environment, and it describes the machine of whoever committed it.
clean_bundle_config() {
  local local_settings='^BUNDLE_(PATH|WITHOUT|WITH|BIN|DEPLOYMENT|FROZEN|GEMFILE|CACHE_PATH|DISABLE_SHARED_GEMS|BUILD__[A-Z_]*|LOCAL__[A-Z_]*):'
  if [[ -f .bundle/config ]] && grep -Eq "$local_settings" .bundle/config; then
    sed -Ei "/$local_settings/d" .bundle/config
    warn "You have the \`.bundle/config\` file checked into your repository" \
      "It contains local state like the location of the installed bundle, which" \
      "should not be shared between multiple checkouts: these settings were ignored."
  fi
}

has_gem() {
  grep -qxF -- "$1" <<< "$gem_names"
}

choose_framework() {
  if [[ -n $railties_version ]]; then
    framework=rails framework_name="Ruby/Rails"
  elif has_gem rack; then
    framework=rack framework_name="Ruby/Rack"
  else
    framework=ruby framework_name="Ruby"
  fi
}
