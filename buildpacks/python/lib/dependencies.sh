# Installing and caching packages.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

# Files that a requirements file includes count as well.
requirement_files() {
  local file="$1" directory included
  [[ -f $file ]] || return 0
  [[ " ${seen_requirements[*]-} " != *" $file "* ]] || return 0
  seen_requirements+=("$file")
  printf '%s\0' "$file"
  directory="$(dirname "$file")"
  while IFS= read -r included; do
    requirement_files "$directory/$included"
  done < <(sed -nE 's/^[[:space:]]*(-r|--requirement|-c|--constraint)[[:space:]=]*([^[:space:]#]+).*/\2/p' "$file")
}

runtime_signature() {
  echo "stack=${STACK:-}"
  echo "python=$python_version"
  echo "manager=$package_manager"
}

# What is installed depends on nothing else, so that packages that are no longer wanted go.
content_signature() {
  local seen_requirements=()
  {
    case "$package_manager" in
      pip)
        requirement_files requirements.txt
        if [[ -n ${INSTALL_TEST:-} ]]; then requirement_files requirements-test.txt; fi
        printf '%s\0' setup.py setup.cfg pyproject.toml
        ;;
      *) printf '%s\0' "$dependency_file" pyproject.toml Pipfile ;;
    esac
  } | xargs -0 -r sha256sum 2> /dev/null || true
  echo "test=${INSTALL_TEST:-} index=$(printf '%s' "${PIP_INDEX_URL:-} ${PIP_EXTRA_INDEX_URL:-}" | sha256sum)"
}

restore_cache() {
  local store="$cache_dir/python" reason=
  restored=no
  [[ -f $store/runtime ]] || return 0
  if [[ $(< "$store/runtime") != "$(runtime_signature)" ]]; then
    reason="The version of Python, the package manager or the stack has changed"
  elif [[ $(< "$store/content") != "$(content_signature)" ]]; then
    reason="The contents of $dependency_file or what it includes have changed"
  fi
  if [[ -n $reason ]]; then
    header "Discarding cache since:"
    line "- $reason"
    rm -rf "$store"
    return 0
  fi
  header "Restoring cache"
  mkdir -p .heroku
  rm -rf "$python_dir"
  cp -a "$store/tree" "$python_dir"
  # pip would want to remove what they name, which is not where it was.
  rm -f "$python_dir"/lib/python3*/site-packages/*.egg-link
  restored=yes
}

save_cache() {
  local store="$cache_dir/python"
  rm -rf "$store"
  mkdir -p "$store"
  cp -a "$python_dir" "$store/tree"
  content_signature > "$store/content"
  # Last, because without it nothing is restored.
  runtime_signature > "$store/runtime"
}

install_dependencies() {
  case "$package_manager" in
    pip) install_with_pip ;;
    pipenv) install_from_pipfile_lock ;;
    poetry) install_with_poetry ;;
    uv) install_with_uv ;;
  esac
}

install_with_pip() {
  local targets=(--editable .)
  if [[ $dependency_file == requirements.txt ]]; then
    targets=(-r requirements.txt)
    if [[ -n ${INSTALL_TEST:-} && -f requirements-test.txt ]]; then targets+=(-r requirements-test.txt); fi
  fi
  header "Installing dependencies using 'pip install ${targets[*]}'"
  run_logged python -m pip install --no-compile "${targets[@]}" --src "$python_dir/src" || explain_failure pip
}

# What `pipenv install --deploy` does, with pip alone: the lock file has every version and hash.
install_from_pipfile_lock() {
  local requirements error
  requirements="$(mktemp)"
  if ! error="$("$stock_python" "$buildpack_dir/lib/pipfile-requirements.py" ${INSTALL_TEST:+--develop} 2>&1 > "$requirements")"; then
    fail "Pipfile.lock cannot be used:" "$error"
  fi
  header "Installing dependencies from Pipfile.lock with pip"
  run_logged python -m pip install --no-compile -r "$requirements" --no-deps --src "$python_dir/src" || explain_failure pip
}

install_with_poetry() {
  local arguments=(install --no-interaction --no-ansi)
  [[ -n ${INSTALL_TEST:-} ]] || arguments+=(--only main)
  if [[ $tool_version == 1.* ]]; then arguments+=(--sync); else arguments[0]=sync; fi
  header "Installing dependencies using 'poetry ${arguments[*]}'"
  run_logged poetry_in_environment "${arguments[@]}" || explain_failure Poetry
  # Poetry 1 installs from a lock file that does not fit and says so in a warning only.
  if grep -Eq 'poetry\.lock is not (up to date|consistent)' "$command_log"; then
    fail "pyproject.toml and poetry.lock do not fit together." \
      "Run 'poetry lock --no-update' on your machine and commit the changed poetry.lock."
  fi
}

# Poetry installs into the environment that is active.
poetry_in_environment() {
  VIRTUAL_ENV="$python_dir" "$poetry_command" "$@"
}

install_with_uv() {
  local arguments=(sync --locked)
  if [[ -z ${INSTALL_TEST:-} ]]; then arguments+=(--no-default-groups); fi
  header "Installing dependencies using 'uv ${arguments[*]}'"
  UV_PROJECT_ENVIRONMENT="$python_dir" UV_PYTHON="$python_dir/bin/python" UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-https://pypi.org/simple}}" \
    run_logged "$uv_command" "${arguments[@]}" || explain_failure uv
}

# explain_failure TOOL: ends the build; the output above has the details.
explain_failure() {
  local tool="$1" log host
  local what="Unable to install dependencies using $tool."
  log="$(< "$command_log")"
  # Without a network pip finds no versions, and says no more than that.
  if [[ $log == *'(from versions: none)'* ]] && host="$(unreachable_index)"; then
    fail "$what" "$host could not be reached: is the network down?"
  fi
  case "$log" in
    *'THESE PACKAGES DO NOT MATCH THE HASHES'* | *'Hash mismatch'* | *'require-hashes'* | *'all requirements must have their versions pinned'*)
      fail "$what" "A package is not the one whose hash $dependency_file has, or has no hash there."
      ;;
    *'Name or service not known'* | *'name resolution'* | *NewConnectionError* | *'Connection refused'* | *'Network is unreachable'* | *ConnectTimeout* | *'All attempts to connect'* | *'dns error'*)
      host="$(grep -oE "host='[^']+'" "$command_log" | head -n 1 | cut -d "'" -f 2 || true)"
      fail "$what" "${host:-$(index_host "${PIP_INDEX_URL:-}")} could not be reached: is the network down?"
      ;;
    *CERTIFICATE_VERIFY_FAILED*)
      fail "$what" "The package index's certificate is not trusted by the host's list of authorities."
      ;;
    *'No matching distribution found'* | *'requires a different Python'* | *'is not allowed by the project'*)
      fail "$what" "There is no package that satisfies $dependency_file with Python $python_version: see the lines above."
      ;;
    *'Invalid requirement'* | *'Expected end or semicolon'*)
      fail "$what" "$dependency_file has a line that cannot be understood: see the lines above."
      ;;
    *)
      fail "$what" "The lines above say why."
      ;;
  esac
}

# Prints the host of an index in which pip looked and that does not answer. pip leaves credentials out.
unreachable_index() {
  local url status indexes=()
  read -r -a indexes <<< "$(sed -nE 's/^Looking in indexes: //p' "$command_log" | tr ',\n' '  ')"
  if [[ -n ${PIP_NO_INDEX:-} ]] || grep -qs '^[[:space:]]*--no-index' requirements.txt; then return 1; fi
  ((${#indexes[@]} > 0)) || indexes=(https://pypi.org/simple)
  for url in "${indexes[@]}"; do
    status=0
    curl -sS --connect-timeout 5 --max-time 20 -o /dev/null "$url" 2> /dev/null || status=$?
    # Name not found, refused, too slow.
    if [[ $status == @(6|7|28) ]]; then
      index_host "$url"
      return 0
    fi
  done
  return 1
}

# Nothing in the slug may know the folder in which it was built.
make_relocatable() {
  "$stock_python" "$buildpack_dir/lib/relocate.py" "$python_dir" "$build_dir"
  # Dynos then need not compile, and the same source gives the same bytes. Unchecked, because packing changes the
  # time stamps that Python would otherwise compare. -s came with Python 3.9.
  if python -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    # Packages may come with templates and tests that are no valid Python: that is no failure.
    python -m compileall -f -q -q -j 0 --invalidation-mode unchecked-hash -s "$build_dir" -p /app \
      "$python_dir"/lib/python3*/site-packages > /dev/null || true
  fi
}
