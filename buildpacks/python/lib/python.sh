# How Python gets into the slug as .heroku/python: the stack image's as a virtual environment, which has the app's
# packages only and a link to the interpreter; any other as a whole, from python-build-standalone.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Sets python_kind and python_version; what has to be fetched is in the cache afterwards.
prepare_python() {
  if [[ $requested_version == "$stock_minor" || $requested_version == "$stock_version" ]]; then
    use_stock_python
    return 0
  fi
  local error status=0
  error="$(mktemp)"
  find_standalone_python 2> "$error" || status=$?
  case "$status" in
    0) ;;
    1)
      if [[ $requested_version == "$stock_minor".* ]]; then
        warn "Python $requested_version could not be fetched from $(standalone_host): used $stock_version instead."
        use_stock_python
        return 0
      fi
      indent < "$error"
      fail "Python $requested_version could not be fetched from $(standalone_host): is the network down?" \
        "Python $stock_version is installed and needs no network, but $version_source asks for $requested_version."
      ;;
    *)
      if [[ $requested_version == "$stock_minor".* ]]; then
        warn "There is no build of Python $requested_version to fetch: used $stock_version instead."
        use_stock_python
        return 0
      fi
      fail "There is no build of Python $requested_version, which $version_source asks for." \
        "Available are $stock_version (installed) and, from $(standalone_host):" "  ${standalone_versions//$'\n'/ }"
      ;;
  esac
}

use_stock_python() {
  python_kind=stock python_version="$stock_version"
}

# A config var may name a mirror: a folder with SHA256SUMS and the archives that it lists.
standalone_url() {
  local url="${PYTHON_BUILD_STANDALONE_URL:-https://github.com/astral-sh/python-build-standalone/releases/latest/download}"
  echo "${url%/}"
}

standalone_host() {
  local url
  url="$(standalone_url)"
  url="${url#*://}"
  url="${url##*@}"
  echo "${url%%/*}"
}

# Status 1 = not reachable, 2 = there is no such version. Sets standalone_versions.
find_standalone_python() {
  local suffix sums archive cached
  suffix="$(uname -m)-unknown-linux-gnu-install_only_stripped.tar.gz"
  sums="$(mktemp)"
  if ! curl -fsSL --connect-timeout 5 --max-time 60 -o "$sums" "$(standalone_url)/SHA256SUMS"; then
    # Off the network an earlier download of a fitting version is better than no build.
    cached="$(cached_standalone_version)"
    [[ -n $cached ]] || return 1
    python_kind=standalone python_version="$cached"
    warn "The list of Python versions could not be fetched from $(standalone_host): used $cached from the cache."
    return 0
  fi
  standalone_versions="$(sed -nE "s/^[0-9a-f]{64}[ *]+cpython-([0-9]+\.[0-9]+\.[0-9]+)\+[0-9]+-$suffix\$/\1/p" "$sums" | sort -uV)"
  python_version="$(newest_fitting <<< "$standalone_versions")"
  [[ -n $python_version ]] || return 2
  python_kind=standalone
  [[ ! -x $cache_dir/python-standalone/$python_version/bin/python3 ]] || return 0
  archive="$(sed -nE "s/^[0-9a-f]{64}[ *]+(cpython-$python_version\+[0-9]+-$suffix)\$/\1/p" "$sums" | tail -n 1)"
  header "Downloading Python $python_version"
  download_standalone_python "$archive" "$sums"
}

# The requested version itself, or the newest patch of the requested minor.
newest_fitting() {
  local pattern="^${requested_version//./\\.}(\\.[0-9]+)?\$"
  if [[ $requested_version == *.*.* ]]; then pattern="^${requested_version//./\\.}\$"; fi
  { grep -E "$pattern" || true; } | sort -V | tail -n 1
}

cached_standalone_version() {
  local store="$cache_dir/python-standalone"
  [[ -d $store ]] || return 0
  (cd "$store" && printf '%s\n' *) | newest_fitting
}

download_standalone_python() {
  local archive="$1" sums="$2" work target
  work="$(mktemp -d)"
  target="$cache_dir/python-standalone/$python_version"
  if curl -fsSL --connect-timeout 5 --max-time 600 -o "$work/$archive" "$(standalone_url)/${archive//+/%2B}" &&
    (cd "$work" && grep -F "$archive" "$sums" | sed 's/ \*/  /' | sha256sum --check --quiet >&2) &&
    mkdir "$work/python" && tar -xzf "$work/$archive" -C "$work/python" --strip-components=1 --no-same-owner &&
    "$work/python/bin/python3" --version > /dev/null; then
    mkdir -p "${target%/*}"
    rm -rf "$target"
    mv "$work/python" "$target"
    rm -rf "$work"
    return 0
  fi
  rm -rf "$work"
  return 1
}

install_python() {
  local versions
  if [[ $restored == yes ]]; then
    header "Using cached install of Python $python_version"
    return 0
  fi
  rm -rf "$python_dir"
  mkdir -p .heroku
  if [[ $python_kind == stock ]]; then
    header "Using Python $python_version (preinstalled)"
    "$stock_python" -m venv --without-pip "$python_dir"
    # They have the build's folder in them, and a dyno needs no activation.
    rm -f "$python_dir"/bin/activate* "$python_dir"/bin/Activate.ps1
    sed -i '/^command = /d' "$python_dir/pyvenv.cfg"
    "$stock_python" -m pip --python "$python_dir/bin/python" install --quiet --no-compile --no-index --find-links "$stock_wheels" \
      pip setuptools wheel
  else
    header "Installing Python $python_version"
    cp -a "$cache_dir/python-standalone/$python_version" "$python_dir"
    [[ -e $python_dir/bin/python ]] || ln -s python3 "$python_dir/bin/python"
    rm -f "$python_dir"/lib/python3*/EXTERNALLY-MANAGED
  fi
  versions="$(python -m pip list --format json | jq -r '[.[] | select(.name | IN("pip", "setuptools", "wheel")) | "\(.name) \(.version)"] | join(", ")')"
  header "Installing $versions"
}
