# Rake tasks that belong to a build: Rails' assets, and the database of a test run.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Sets rake_tasks, one per line.
detect_rake_tasks() {
  local error
  rake_tasks=
  has_gem rake && [[ -f Rakefile || -f rakefile || -f rakefile.rb || -f Rakefile.rb ]] || return 0
  header "Detecting rake tasks"
  set_rake_environment
  error="$(mktemp)"
  if ! rake_tasks="$(bundle exec rake -P --trace 2> "$error" < /dev/null)"; then
    tail -n 20 "$error" | indent
    if [[ $framework == rails ]]; then
      fail "Could not detect rake tasks" \
        "ensure you can run \`\$ bundle exec rake -P\` against your app" \
        "and using the production group of your Gemfile."
    fi
    warn "Could not detect rake tasks: the lines above say why."
    rake_tasks=
  fi
  rake_tasks="$(sed -n 's/^rake //p' <<< "$rake_tasks")"
}

has_rake_task() {
  grep -qxF -- "$1" <<< "$rake_tasks"
}

# Rails reads its settings for a task, and with them a secret and where the database is, though it uses neither.
set_rake_environment() {
  [[ $framework == rails ]] || return 0
  read_secret_key_base
  if [[ -z ${DATABASE_URL:-} && -z ${INSTALL_TEST:-} ]]; then
    if has_gem pg; then
      export DATABASE_URL='postgresql://user:pass@127.0.0.1/dbname'
    elif has_gem mysql2; then
      export DATABASE_URL='mysql2://user:pass@127.0.0.1/dbname'
    elif has_gem sqlite3; then
      export DATABASE_URL='sqlite3::memory:'
    fi
  fi
}

run_rake() {
  line "Running: rake $1"
  run_logged bundle exec rake "$1"
}

precompile_assets() {
  local began=$SECONDS
  has_rake_task assets:precompile || return 0
  header "Preparing app for Rails asset pipeline"
  if has_manifest; then
    line "Detected manifest file, assuming assets were compiled locally"
    return 0
  fi
  restore_assets
  run_rake assets:precompile || fail "Precompiling assets failed." "The lines above say why."
  line "Asset precompilation completed ($((SECONDS - began))s)"
  if has_rake_task assets:clean; then
    line "Cleaning assets"
    run_rake assets:clean || fail "Cleaning assets failed." "The lines above say why."
  fi
  save_assets
}

# Of Sprockets in its versions, or of Propshaft.
has_manifest() {
  local file
  for file in public/assets/{.sprockets-manifest-*.json,manifest-*.json,manifest.yml,.manifest.json}; do
    [[ ! -f $file ]] || return 0
  done
  return 1
}

# Assets that did not change are then not compiled again.
restore_assets() {
  local folder
  for folder in public/assets tmp/cache/assets; do
    [[ -d $cache_dir/ruby/assets/$folder ]] || continue
    mkdir -p "$folder"
    cp -an "$cache_dir/ruby/assets/$folder/." "$folder/"
  done
}

save_assets() {
  local folder
  rm -rf "$cache_dir/ruby/assets"
  for folder in public/assets tmp/cache/assets; do
    [[ -d $folder ]] || continue
    mkdir -p "$cache_dir/ruby/assets/$folder"
    cp -a "$folder/." "$cache_dir/ruby/assets/$folder/"
  done
  # It has the build's folder in its keys, and a dyno compiles nothing.
  rm -rf tmp/cache/assets
}

prepare_test_database() {
  local task
  has_rake_task db:schema:load || has_rake_task db:migrate || return 0
  header "Preparing test database"
  for task in db:schema:load db:migrate; do
    if has_rake_task "$task"; then
      run_rake "$task" || fail "Could not prepare database for test." "The lines above say why."
    fi
  done
}
