# Config vars and defaults of the build, profile script, export file and what bin/release says.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Config vars that would change how the build itself works rather than the app, and what bash does not let us set.
blocked_config_vars='^(PATH|HOME|IFS|BASH_ENV|ENV|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LD_LIBRARY_PATH|LIBRARY_PATH|GEM_PATH|GEM_HOME|RUBYLIB|BUNDLE_PATH|BUNDLE_BIN|BUNDLE_GEMFILE|BUNDLER_VERSION|BUILDPACK_URL|STACK|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$'

# ENV_DIR has one file per config var; they are not in the environment (Dev Center "Buildpack API").
export_config_vars() {
  local directory="$1" file name
  [[ -n $directory && -d $directory ]] || return 0
  for file in "$directory"/*; do
    [[ -f $file ]] || continue
    name="${file##*/}"
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $blocked_config_vars ]] || continue
    # Tests run in an environment of their own, whatever the app says.
    [[ ! $name =~ ^(RACK_ENV|RAILS_ENV|BUNDLE_WITHOUT)$ || -z ${INSTALL_TEST:-} ]] || continue
    export "$name=$(< "$file")"
  done
}

set_build_environment() {
  local environment='production'
  [[ -z ${INSTALL_TEST:-} ]] || environment='test'
  export RACK_ENV="${RACK_ENV:-$environment}" RAILS_ENV="${RAILS_ENV:-$environment}" LANG="${LANG:-C.UTF-8}"
  gem_scope="ruby/$("$ruby_command" -e 'print RbConfig::CONFIG["ruby_version"]')"
  gem_dir="$build_dir/vendor/bundle/$gem_scope"
  # What the stack image has of RubyGems, such as Bundler.
  stock_gem_path="$("$ruby_command" -e 'print (Gem.default_path - [Gem.user_dir]).join(":")')"
  if [[ $ruby_kind == fetched ]]; then stock_gem_path="$("$ruby_command" -e 'print Gem.default_dir')"; fi
  export BUNDLE_GEMFILE="$build_dir/Gemfile" BUNDLE_PATH=vendor/bundle BUNDLE_BIN=vendor/bundle/bin BUNDLE_DEPLOYMENT=1
  if [[ -n ${INSTALL_TEST:-} ]]; then BUNDLE_WITHOUT=development; fi
  export BUNDLE_WITHOUT="${BUNDLE_WITHOUT-development:test}"
  export BUNDLE_USER_HOME="$cache_dir/bundler" BUNDLE_SHEBANG=ruby BUNDLE_RETRY="${BUNDLE_RETRY:-1}"
  export BUNDLE_TIMEOUT="${BUNDLE_TIMEOUT:-30}" BUNDLE_SILENCE_ROOT_WARNING=1 BUNDLE_DISABLE_VERSION_CHECK=1
  export GEM_PATH="$gem_dir:$stock_gem_path" DISABLE_SPRING=1
  export PATH="$build_dir/bin:$build_dir/vendor/bundle/bin:$PATH"
  if has_gem execjs && ! command -v node > /dev/null; then
    # Assets that are compiled by JavaScript.
    export PATH="$PATH:/opt/dynodock/node/bin"
  fi
}

# The secret is made once per app: sessions and cookies are to outlive a deploy.
read_secret_key_base() {
  if [[ -n ${SECRET_KEY_BASE:-} ]]; then return 0; fi
  if [[ ! -s $cache_dir/ruby/secret-key-base ]]; then
    mkdir -p "$cache_dir/ruby"
    (umask 077 && head -c 64 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$cache_dir/ruby/secret-key-base.new")
    mv "$cache_dir/ruby/secret-key-base.new" "$cache_dir/ruby/secret-key-base"
  fi
  SECRET_KEY_BASE="$(< "$cache_dir/ruby/secret-key-base")"
  export SECRET_KEY_BASE
}

# Sourced when a dyno starts. Paths are those of the dyno, not of the build.
write_profile_scripts() {
  local ruby_bin=
  if [[ $ruby_kind == fetched ]]; then ruby_bin="\$HOME/vendor/ruby-$ruby_version/bin:"; fi
  mkdir -p .profile.d
  {
    echo "# Written by the Ruby buildpack: where Ruby and the gems are."
    echo "export GEM_PATH=\"\$HOME/vendor/bundle/$gem_scope:${stock_gem_path//$build_dir/\$HOME}\""
    echo "export PATH=\"\$HOME/bin:\$HOME/vendor/bundle/bin:$ruby_bin\$PATH\""
    echo "export BUNDLE_PATH=\${BUNDLE_PATH:-vendor/bundle} BUNDLE_BIN=\${BUNDLE_BIN:-vendor/bundle/bin}"
    # shellcheck disable=SC2016 # for the dyno's shell
    printf 'export BUNDLE_WITHOUT=${BUNDLE_WITHOUT-%q} BUNDLE_DEPLOYMENT=${BUNDLE_DEPLOYMENT:-1}\n' "$BUNDLE_WITHOUT"
    echo "export BUNDLER_VERSION=\${BUNDLER_VERSION:-$bundler_version}"
    # shellcheck disable=SC2016 # for the dyno's shell
    printf 'export RACK_ENV=${RACK_ENV:-%q}\n' "$RACK_ENV"
    if [[ $framework == rails ]]; then
      # shellcheck disable=SC2016 # for the dyno's shell
      printf 'export RAILS_ENV=${RAILS_ENV:-%q}\n' "$RAILS_ENV"
      echo "export RAILS_SERVE_STATIC_FILES=\${RAILS_SERVE_STATIC_FILES:-enabled}"
      echo "export RAILS_LOG_TO_STDOUT=\${RAILS_LOG_TO_STDOUT:-enabled}"
    fi
    if [[ $PATH == *:/opt/dynodock/node/bin ]]; then echo "export PATH=\"\$PATH:/opt/dynodock/node/bin\""; fi
  } > .profile.d/ruby.sh
  cp "$buildpack_dir/lib/profile.sh" .profile.d/ruby-memory.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  local name
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find the gems: this one's folder is not writable."
    return 0
  fi
  {
    # shellcheck disable=SC2016 # $PATH is for whoever sources the file
    printf 'export PATH=%q:"$PATH"\n' \
      "$build_dir/bin:$build_dir/vendor/bundle/bin$([[ $ruby_kind != fetched ]] || echo ":$build_dir/vendor/ruby-$ruby_version/bin")"
    for name in GEM_PATH BUNDLE_GEMFILE BUNDLE_PATH BUNDLE_BIN BUNDLE_DEPLOYMENT BUNDLE_WITHOUT BUNDLER_VERSION RACK_ENV RAILS_ENV; do
      printf 'export %s=%q\n' "$name" "${!name}"
    done
  } > "$buildpack_dir/export"
}

write_release_file() {
  local name
  if [[ ! -w $buildpack_dir ]]; then
    warn "There are no default process types: the buildpack's folder is not writable."
    return 0
  fi
  (
    umask 077
    {
      printf -- '---\nconfig_vars:\n  LANG: C.UTF-8\n'
      [[ $framework == ruby ]] || echo "  RACK_ENV: production"
      if [[ $framework == rails ]]; then
        read_secret_key_base
        printf '  RAILS_ENV: production\n  RAILS_LOG_TO_STDOUT: enabled\n  RAILS_SERVE_STATIC_FILES: enabled\n'
        # JSON is YAML.
        printf '  SECRET_KEY_BASE: %s\n' "$(jq -n 'env.SECRET_KEY_BASE')"
      fi
      printf 'default_process_types:\n  rake: bundle exec rake\n'
      case "$framework" in
        ruby) echo "  console: bundle exec irb" ;;
        rack)
          echo "  console: bundle exec irb"
          if has_gem thin; then
            # shellcheck disable=SC2016 # for the dyno's shell
            echo '  web: bundle exec thin start -R config.ru -e $RACK_ENV -p ${PORT:-5000}'
          else
            # shellcheck disable=SC2016 # for the dyno's shell
            echo '  web: bundle exec rackup config.ru -p ${PORT:-5000}'
          fi
          ;;
        rails)
          echo "  console: bin/rails console"
          # shellcheck disable=SC2016 # for the dyno's shell
          echo '  web: bin/rails server -p ${PORT:-5000} -e $RAILS_ENV'
          if has_rake_task jobs:work; then echo "  worker: bundle exec rake jobs:work"; fi
          ;;
      esac
    } > "$buildpack_dir/release.yml"
  )
  if [[ $framework != ruby && ! -f Procfile ]]; then
    warn "No Procfile detected, using the default web server." \
      "We recommend explicitly declaring how to boot your server process via a Procfile." \
      "https://devcenter.heroku.com/articles/ruby-default-web-server"
  fi
}
