# package.json, read once.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

read_package_json() {
  local error assignments
  if ! error="$(jq empty package.json 2>&1)"; then
    fail "package.json is not valid JSON:" "${error#jq: }"
  fi
  [[ $(jq -r type package.json) == object ]] || fail "package.json must contain a JSON object."
  # @sh quotes each value, so that whatever is in the file stays data.
  assignments="$(jq -r '
    def text: if type == "string" then . else "" end;
    def size: if type == "object" or type == "array" then length else 0 end;
    def object: if type == "object" then . else {} end;
    @sh "engine_node=\(.engines | object | .node | text)",
    @sh "engine_npm=\(.engines | object | .npm | text)",
    @sh "engine_yarn=\(.engines | object | .yarn | text)",
    @sh "engine_pnpm=\(.engines | object | .pnpm | text)",
    @sh "package_manager_field=\(.packageManager | text)",
    @sh "script_names=\(.scripts | object | to_entries | map(select(.value | type == "string") | .key) | join("\n"))",
    @sh "dependency_count=\([.dependencies, .optionalDependencies, .peerDependencies, .workspaces | size] | add)",
    @sh "dev_dependency_count=\(.devDependencies | size)"
  ' package.json)"
  eval "$assignments"
}

has_script() {
  grep -qxF -- "$1" <<< "$script_names"
}

# npm runs these scripts of the app itself along with an installation.
has_install_scripts() {
  has_script preinstall || has_script install || has_script postinstall || has_script prepare || [[ -f binding.gyp ]]
}

needs_installation() {
  ((dependency_count + dev_dependency_count > 0)) || has_install_scripts
}
