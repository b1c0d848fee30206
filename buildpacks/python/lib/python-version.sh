# Which Python the app asks for.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

stock_python=/usr/bin/python3

# Sets requested_version (3.11 or 3.11.9, empty if none) and version_source.
read_python_version() {
  stock_version="$("$stock_python" -c 'import platform; print(platform.python_version())')"
  stock_minor="${stock_version%.*}"
  requested_version='' version_source=''
  if [[ -f runtime.txt && -f .python-version ]]; then
    fail "The app has both runtime.txt and .python-version." \
      "Keep .python-version and remove runtime.txt, which is the older form."
  elif [[ -f runtime.txt ]]; then
    read_runtime_txt
  elif [[ -f .python-version ]]; then
    read_python_version_file
  elif [[ -f Pipfile.lock ]]; then
    read_pipfile_lock_version
  fi
  if [[ -z $requested_version ]]; then
    header "No Python version was specified. Using the buildpack default: Python $stock_minor"
    line "To use a different version, see: https://devcenter.heroku.com/articles/python-runtimes"
    requested_version="$stock_minor"
  else
    header "Using Python $requested_version specified in $version_source"
  fi
  if [[ $requested_version == 2.* ]]; then
    fail "Python $requested_version reached its end of life in 2020 and is not supported." \
      "Python $stock_version is installed; $version_source may also name a newer one."
  fi
}

read_runtime_txt() {
  local text pattern='^[[:space:]]*python-([0-9]+\.[0-9]+(\.[0-9]+)?)[[:space:]]*$'
  text="$(< runtime.txt)"
  version_source=runtime.txt
  if [[ ! $text =~ $pattern ]]; then
    fail "Invalid Python version in runtime.txt." \
      "It has to read python-$stock_minor or python-$stock_version, but it reads:" "  ${text:0:100}"
  fi
  requested_version="${BASH_REMATCH[1]}"
}

read_python_version_file() {
  local lines=() text pattern='^[0-9]+\.[0-9]+(\.[0-9]+)?$'
  version_source=.python-version
  while IFS= read -r text || [[ -n $text ]]; do
    text="${text#"${text%%[![:space:]]*}"}"
    text="${text%"${text##*[![:space:]]}"}"
    [[ -z $text || $text == \#* ]] || lines+=("$text")
  done < .python-version
  if ((${#lines[@]} == 0)); then
    fail "Invalid Python version in .python-version." "The file has no version in it: write one, such as $stock_minor."
  elif ((${#lines[@]} > 1)); then
    fail "Invalid Python version in .python-version." "Multiple versions were found: ${lines[*]}" "Keep one of them."
  elif [[ ! ${lines[0]} =~ $pattern ]]; then
    fail "Invalid Python version in .python-version." \
      "It has to read $stock_minor or $stock_version, without quotes or prefix, but it reads:" "  ${lines[0]:0:100}"
  fi
  requested_version="${lines[0]}"
}

read_pipfile_lock_version() {
  version_source=Pipfile.lock
  local error
  if ! error="$(jq empty Pipfile.lock 2>&1)"; then
    fail "Pipfile.lock is not valid JSON:" "${error#jq: }" "Run 'pipenv lock' on your machine to make it anew."
  fi
  requested_version="$(jq -r '._meta.requires // {} | .python_full_version // .python_version // ""' Pipfile.lock)"
  if [[ -n $requested_version && ! $requested_version =~ ^[0-9]+\.[0-9]+(\.[0-9]+)?$ ]]; then
    fail "Invalid Python version in Pipfile.lock: ${requested_version:0:100}" "It has to read $stock_minor or $stock_version."
  fi
}
