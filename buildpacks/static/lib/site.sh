# Where the pages are, how they are served, and what a dyno needs for that.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

read_static_json() {
  local error folder
  if [[ -f static.json ]]; then
    if ! error="$(jq empty static.json 2>&1)"; then
      fail "static.json is not valid JSON:" "${error#jq: }"
    fi
    [[ $(jq -r type static.json) == object ]] || fail "static.json must contain a JSON object."
    default_root=public_html
    return 0
  fi
  for folder in public public_html _site dist build .; do
    if [[ -f $folder/index.html ]]; then
      default_root="$folder"
      return 0
    fi
  done
  fail "There is no static.json, and no index.html in the app's folder, public, public_html, _site, dist or build."
}

install_boot_script() {
  rm -rf .heroku/static
  mkdir -p .heroku/static bin
  cp "$buildpack_dir/lib/nginx-config.js" "$buildpack_dir/lib/boot" .heroku/static/
  chmod 755 .heroku/static/boot
  echo "$default_root" > .heroku/static/default-root
  # Procfiles name it by this path. A script of the app's own wins.
  if [[ -e bin/boot && ! -L bin/boot ]]; then
    warn "The app has a bin/boot of its own: nginx is started by .heroku/static/boot."
  else
    ln -sfn ../.heroku/static/boot bin/boot
  fi
  line "Using nginx $(nginx -v 2>&1 | sed 's/.*\///')"
  echo
}

# The configuration is made when a dyno starts, as it depends on the port and on config vars. Here it is made once to see
# whether that works.
check_configuration() {
  local work status=0
  work="$(mktemp -d)"
  PORT=5000 STATIC_RUN_DIR="$work" /opt/dynodock/node/bin/node .heroku/static/nginx-config.js "$build_dir" \
    > "$work/nginx.conf" 2> "$work/notes" || status=$?
  if ((status != 0)); then
    local lines
    mapfile -t lines < "$work/notes"
    fail "${lines[@]}"
  fi
  local note
  while IFS= read -r note; do warn "$note"; done < "$work/notes"
  if ! nginx -e stderr -t -q -c "$work/nginx.conf" > "$work/test" 2>&1; then
    indent < "$work/test"
    fail "nginx cannot work with what static.json says: the lines above say why."
  fi
  line "Serving the folder $(sed -nE '1s/^# root: (.*)/\1/p' "$work/nginx.conf")"
  rm -rf "$work"
  echo
}
