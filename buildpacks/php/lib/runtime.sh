# What a dyno needs to serve PHP: the boot scripts with their configuration. PHP and the servers are in the run image.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

install_runtime() {
  local server
  rm -rf .heroku/php
  mkdir -p .heroku/php/bin .heroku/php/etc
  cp "$buildpack_dir"/lib/runtime/etc/* .heroku/php/etc/
  for server in apache2 nginx; do
    install -m 755 "$buildpack_dir/lib/runtime/heroku-php" ".heroku/php/bin/heroku-php-$server"
  done
  # The boot scripts keep the web away from it.
  echo "$vendor_dir" > .heroku/php/etc/vendor-dir
  echo
}

# Procfiles have always named them by this path. Links are relative, because the build's folder is not the dyno's.
link_boot_scripts() {
  local server
  mkdir -p "$bin_dir"
  for server in apache2 nginx; do
    rm -f "$bin_dir/heroku-php-$server"
    ln -s "$(realpath --relative-to="$bin_dir" .heroku/php/bin)/heroku-php-$server" "$bin_dir/heroku-php-$server"
  done
}

# Sourced when a dyno starts. Paths are those of the dyno, not of the build.
write_profile_script() {
  mkdir -p .profile.d
  {
    # shellcheck disable=SC2016 # for the dyno's shell
    printf 'export PATH="$HOME/.heroku/php/bin:$PATH:$HOME/"%q\n' "$bin_dir"
    # shellcheck disable=SC2016 # an empty entry stands for the folders that PHP was built to read
    echo 'export PHP_INI_SCAN_DIR="${PHP_INI_SCAN_DIR-}:$HOME/.heroku/php/etc"'
  } > .profile.d/php.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find the app's programs: this one's folder is not writable."
    return 0
  fi
  # shellcheck disable=SC2016 # $PATH is for whoever sources the file
  printf 'export PATH="$PATH":%q\n' "$build_dir/$bin_dir" > "$buildpack_dir/export"
}
