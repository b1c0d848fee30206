# Which Ruby, and how it gets into the slug. The stack image's is in the run image as well; any other goes into
# vendor/ruby-<version>.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Sets ruby_kind, ruby_version and ruby_command.
install_ruby() {
  local wanted="$locked_ruby"
  # Without a locked version an exact one of the Gemfile.
  if [[ -z $wanted && $gemfile_ruby =~ ^(=\ )?([0-9]+\.[0-9]+\.[0-9]+)$ ]]; then wanted="${BASH_REMATCH[2]}"; fi
  if [[ -z $gemfile_ruby && -z $locked_ruby ]]; then
    warn "You have not declared a Ruby version in your Gemfile." "" \
      "To declare a Ruby version add this line to your Gemfile:" "" "ruby \"$stock_version\"" "" \
      "For more information see:" "  https://devcenter.heroku.com/articles/ruby-versions"
  fi
  if [[ $stock_fits == yes && ($wanted == "$stock_version" || $wanted == "") ]]; then
    use_stock_ruby
  elif [[ -z $wanted ]]; then
    fail "The Gemfile asks for Ruby $gemfile_ruby, and Gemfile.lock does not say which one that is." \
      "Ruby $stock_version is installed. For another one run 'bundle update --ruby' on your machine and commit Gemfile.lock."
  elif fetch_ruby "$wanted"; then
    use_fetched_ruby "$wanted"
  elif [[ $stock_fits == yes && ${wanted%.*} == "${stock_version%.*}" ]]; then
    warn "Ruby $wanted could not be fetched from $(ruby_host): used $stock_version instead."
    use_stock_ruby
  else
    indent < "$fetch_log"
    fail "Ruby $wanted could not be fetched from $(ruby_host): does it exist, is the network down?" \
      "Ruby $stock_version is installed and needs no network, but the app asks for $wanted:" \
      "see the line ruby \"…\" in the Gemfile and RUBY VERSION in Gemfile.lock."
  fi
  header "Using Ruby version: ruby-$ruby_version"
}

use_stock_ruby() {
  ruby_kind=stock ruby_version="$stock_version" ruby_command="$stock_ruby"
}

# Heroku's builds for Ubuntu 22.04, which have all their libraries in this image, or a mirror of them.
ruby_url() {
  local url="${RUBY_BINARIES_URL:-https://heroku-buildpack-ruby.s3.us-east-1.amazonaws.com/heroku-22}"
  echo "${url%/}"
}

ruby_host() {
  local url
  url="$(ruby_url)"
  url="${url#*://}"
  url="${url##*@}"
  echo "${url%%/*}"
}

# fetch_ruby VERSION: it is in the cache afterwards.
fetch_ruby() {
  local version="$1" store="$cache_dir/ruby/ruby-$1" work
  fetch_log="$(mktemp)"
  [[ ! -x $store/bin/ruby ]] || return 0
  if [[ $(uname -m) != x86_64 && -z ${RUBY_BINARIES_URL:-} ]]; then
    echo "There are no builds for $(uname -m)." > "$fetch_log"
    return 1
  fi
  work="$(mktemp -d)"
  if curl -fsSL --connect-timeout 5 --max-time 600 -o "$work/ruby.tgz" "$(ruby_url)/ruby-$version.tgz" 2> "$fetch_log" &&
    mkdir "$work/ruby" && tar -xzf "$work/ruby.tgz" -C "$work/ruby" --no-same-owner 2> "$fetch_log" &&
    is_ruby "$work/ruby" "$version"; then
    mkdir -p "${store%/*}"
    rm -rf "$store"
    mv "$work/ruby" "$store"
    rm -rf "$work"
    return 0
  fi
  rm -rf "$work"
  return 1
}

is_ruby() {
  local found
  found="$("$1/bin/ruby" -e 'print RUBY_VERSION' 2> "$fetch_log")" || return 1
  [[ $found == "$2" ]] || {
    echo "What was fetched is Ruby $found." > "$fetch_log"
    return 1
  }
}

use_fetched_ruby() {
  ruby_kind=fetched ruby_version="$1"
  rm -rf "vendor/ruby-$ruby_version"
  mkdir -p vendor
  cp -a "$cache_dir/ruby/ruby-$ruby_version" "vendor/ruby-$ruby_version"
  ruby_command="$build_dir/vendor/ruby-$ruby_version/bin/ruby"
  export PATH="$build_dir/vendor/ruby-$ruby_version/bin:$PATH"
}
