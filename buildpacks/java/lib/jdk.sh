# Which JDK builds the app, and the runtime made of it that gets into the slug as .jdk.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

stock_jdk=/usr/lib/jvm/default-java

# The value of a property in a JDK's own description of itself.
jdk_property() {
  sed -nE "s/^$2=\"?([^\"]*)\"?$/\1/p" "$1/release"
}

# system.properties: java.runtime.version=17, 1.8, 17.0.9 or, with a vendor, zulu-17.
read_system_properties() {
  java_wanted=
  if [[ -f system.properties ]]; then
    java_wanted="$(sed -nE 's/^[[:space:]]*java\.runtime\.version[[:space:]]*[=:][[:space:]]*([^[:space:]]*).*$/\1/p' system.properties | tail -n 1)"
  fi
  stock_version="$(jdk_property "$stock_jdk" JAVA_VERSION)"
  stock_feature="${stock_version%%.*}"
  if [[ -z $java_wanted ]]; then
    java_feature="$stock_feature"
    java_exact="$stock_feature"
    warn "system.properties does not say which Java the app needs: add a line java.runtime.version=$stock_feature."
    return 0
  fi
  # Vendors are told apart by name, here they are one.
  java_exact="${java_wanted##*-}"
  java_exact="${java_exact#1.}"
  java_exact="${java_exact/#8.0_/8.0.}"
  [[ $java_exact =~ ^[0-9]+(\.[0-9]+)*$ ]] ||
    fail "java.runtime.version in system.properties is not a version that can be understood: $java_wanted" \
      "It looks like 17, 17.0.9 or 1.8."
  java_feature="${java_exact%%.*}"
}

install_jdk() {
  header "Installing OpenJDK $java_feature"
  if [[ $java_feature == "$stock_feature" ]]; then
    JAVA_HOME="$(readlink -f "$stock_jdk")"
    java_version="$stock_version"
  else
    fetch_jdk
  fi
  if [[ $java_version != "$java_exact" && $java_version != "$java_exact".* ]]; then
    warn "java.runtime.version in system.properties asks for $java_wanted: used $java_version, the release that is here."
  fi
  line "Using OpenJDK $java_version"
  export JAVA_HOME PATH="$JAVA_HOME/bin:$PATH"
}

# Builds of OpenJDK by the Adoptium project; the config var ADOPTIUM_API_URL names a mirror.
fetch_jdk() {
  local architecture api asset link checksum error store="$cache_dir/jdk/$java_feature"
  case "$(uname -m)" in
    x86_64) architecture=x64 ;;
    aarch64 | arm64) architecture=aarch64 ;;
    *) fail "There is no OpenJDK $java_feature for this architecture: $(uname -m)." ;;
  esac
  api="${ADOPTIUM_API_URL:-https://api.adoptium.net}"
  error="$(mktemp)"
  if asset="$(curl -fsSL --connect-timeout 5 --max-time 60 \
    "$api/v3/assets/latest/$java_feature/hotspot?architecture=$architecture&image_type=jdk&os=linux&vendor=eclipse" 2> "$error" |
    jq -er '.[0].binary.package | "\(.link) \(.checksum)"' 2>> "$error")"; then
    read -r link checksum <<< "$asset"
    if [[ ! -f $store/release || $(< "$cache_dir/jdk/$java_feature.sha256") != "$checksum" ]]; then
      download_jdk "$link" "$checksum" "$store" 2> "$error" || jdk_not_fetched "$error"
    fi
  elif [[ -f $store/release ]]; then
    # Off the network an earlier download is better than no build.
    warn "The list of OpenJDK releases could not be fetched: used what is in the cache."
  else
    jdk_not_fetched "$error"
  fi
  rm -f "$error"
  JAVA_HOME="$store"
  java_version="$(jdk_property "$JAVA_HOME" JAVA_VERSION)"
  java_version="${java_version#1.}"
}

# download_jdk LINK SHA256 TARGET: TARGET appears all at once.
download_jdk() {
  local link="$1" checksum="$2" target="$3" work
  work="$(mktemp -d)"
  line "Downloading $link"
  if ! { curl -fsSL --connect-timeout 5 --max-time 900 -o "$work/jdk.tar.gz" "$link" &&
    sha256sum --check --quiet <<< "$checksum  $work/jdk.tar.gz" > /dev/null &&
    mkdir "$work/jdk" && tar -xzf "$work/jdk.tar.gz" -C "$work/jdk" --strip-components=1 --no-same-owner &&
    [[ -x $work/jdk/bin/java ]]; }; then
    rm -rf "$work"
    return 1
  fi
  mkdir -p "${target%/*}"
  rm -rf "$target"
  mv "$work/jdk" "$target"
  echo "$checksum" > "$target.sha256"
  rm -rf "$work"
}

jdk_not_fetched() {
  local host reason="Is there such a version?"
  if host="$(unreachable_host "$1")"; then reason="$host could not be reached: is the network down?"; fi
  indent < "$1"
  fail "OpenJDK $java_feature is not in the image and could not be fetched." "$reason" \
    "OpenJDK $stock_version is there and needs no network, but java.runtime.version asks for $java_wanted."
}

# Java has its own list of authorities. The container's may contain the one of a network that intercepts TLS, so that it
# counts for Maven and for the app.
make_trust_store() {
  local bundle=/etc/ssl/certs/ca-certificates.crt
  trust_store=
  [[ -r $bundle ]] || return 0
  trust_store="$cache_dir/trust/$(sha256sum "$bundle" | cut -c 1-16).jks"
  [[ ! -f $trust_store ]] || return 0
  rm -rf "$cache_dir/trust"
  mkdir -p "$cache_dir/trust"
  # By the image's own Java: it has to be one that runs a program from its source.
  "$stock_jdk/bin/java" "$buildpack_dir/lib/MakeTrustStore.java" "$bundle" "$trust_store.new" | indent
  mv "$trust_store.new" "$trust_store"
}

# Nobody chose the incubator modules that jlink warns of: all modules are taken.
make_runtime() {
  jlink "$@" 2>&1 | sed '/^WARNING: Using incubator modules: /d'
}

# The run image has no Java. jlink's runtime has all modules, but neither debug symbols nor the files for linking.
install_runtime() {
  local store="$cache_dir/runtime/$java_version"
  if [[ ! -f $store/release ]]; then
    rm -rf "$cache_dir/runtime"
    mkdir -p "$cache_dir/runtime"
    if [[ -d $JAVA_HOME/jmods && -x $JAVA_HOME/bin/jlink ]]; then
      line "Making the runtime"
      run_logged make_runtime --add-modules ALL-MODULE-PATH --strip-debug --no-man-pages --no-header-files --compress=2 \
        --output "$store.new" || fail "The runtime could not be made: the lines above say why."
    else
      # Before Java 9 there is no jlink.
      cp -a "$JAVA_HOME" "$store.new"
      rm -rf "$store.new/src.zip" "$store.new/man" "$store.new/sample" "$store.new/demo"
    fi
    mv "$store.new" "$store"
  fi
  rm -rf .jdk
  cp -a "$store" .jdk
  local security=.jdk/lib/security
  [[ -d $security ]] || security=.jdk/jre/lib/security
  if [[ -n $trust_store && -d $security ]]; then
    rm -f "$security/cacerts"
    cp "$trust_store" "$security/cacerts"
  fi
  echo
}

# Sourced when a dyno starts. Paths are those of the dyno, not of the build.
write_profile_script() {
  mkdir -p .profile.d
  cp "$buildpack_dir/lib/profile.sh" .profile.d/jvm.sh
}

# Sourced before the buildpacks that come after this one.
write_export_file() {
  if [[ ! -w $buildpack_dir ]]; then
    warn "Buildpacks after this one will not find Java: this one's folder is not writable."
    return 0
  fi
  {
    printf 'export JAVA_HOME=%q\n' "$JAVA_HOME"
    # shellcheck disable=SC2016 # $PATH is for whoever sources the file
    printf 'export PATH=%q:"$PATH"\n' "$JAVA_HOME/bin"
  } > "$buildpack_dir/export"
}
