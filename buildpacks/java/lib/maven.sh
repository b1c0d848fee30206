# Maven: which one, with which settings and repositories, and running it.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

central=https://repo.maven.apache.org/maven2/
# Debian's plugins for a plain build and what they need, in the layout of a Maven repository.
image_repository=/usr/share/maven-repo

choose_maven() {
  local error
  maven=(mvn)
  export MAVEN_OPTS="${MAVEN_JAVA_OPTS:--Xmx1024m}${trust_store:+ -Djavax.net.ssl.trustStore=$trust_store}"
  # Where the wrapper keeps what it downloads.
  export MAVEN_USER_HOME="$cache_dir/m2"
  mkdir -p "$MAVEN_USER_HOME"
  header "Installing Maven"
  if [[ -f mvnw ]]; then
    chmod +x mvnw
    error="$(mktemp)"
    if ./mvnw --version < /dev/null > "$error" 2>&1; then
      maven=(./mvnw)
      line "Using the wrapper, $(maven_version)"
      echo
      return 0
    fi
    tail -n 5 "$error" | indent
    rm -f "$error"
    warn "The Maven wrapper (mvnw) could not fetch its Maven: used the image's, $(maven_version)."
  fi
  line "Using $(maven_version)"
  echo
}

maven_version() {
  "${maven[@]}" --version < /dev/null 2> /dev/null | grep -o 'Apache Maven [^ ]*' | sed 's/\x1b\[[0-9;]*m//g' | head -n 1
}

# The app's own settings say where artifacts come from; without them it is Maven Central, or else what is here.
choose_settings() {
  maven+=(-B -Dstyle.color=never -Dorg.slf4j.simpleLogger.log.org.apache.maven.cli.transfer.Slf4jMavenTransferListener=warn)
  offline=no
  local settings=''
  if [[ -n ${MAVEN_SETTINGS_PATH:-} ]]; then
    [[ -f $MAVEN_SETTINGS_PATH ]] || fail "The config var MAVEN_SETTINGS_PATH names a file that is not there: $MAVEN_SETTINGS_PATH"
    settings="$MAVEN_SETTINGS_PATH"
  elif [[ -n ${MAVEN_SETTINGS_URL:-} ]]; then
    settings="$(mktemp)"
    command_log="$(mktemp)"
    # The URL may contain credentials and is no argument for that reason.
    if ! curl -fsSL --connect-timeout 5 --max-time 60 -o "$settings" -K - <<< "url = \"$MAVEN_SETTINGS_URL\"" 2> "$command_log"; then
      indent < "$command_log"
      fail "The file that the config var MAVEN_SETTINGS_URL names could not be fetched."
    fi
  elif [[ -f settings.xml ]]; then
    settings=settings.xml
  fi
  if [[ -n $settings ]]; then
    maven+=(-s "$settings" "-Dmaven.repo.local=$cache_dir/m2/repository")
  elif curl -fsS --connect-timeout 5 --max-time 15 -o /dev/null "$central" 2> /dev/null; then
    maven+=("-Dmaven.repo.local=$cache_dir/m2/repository")
  else
    offline=yes
    write_offline_settings
    # What comes from the image must never be taken for Maven Central's.
    maven+=(-s "$cache_dir/m2/offline-settings.xml" "-Dmaven.repo.local=$cache_dir/m2/offline")
    warn "Maven Central could not be reached: artifacts came from the cache of earlier builds and from the image."
  fi
}

# In place of all repositories elsewhere: the artifacts of earlier builds, and those of the image. Repositories in folders of
# the app stay.
write_offline_settings() {
  mkdir -p "$cache_dir/m2/repository"
  complete_image_repository
  cat > "$cache_dir/m2/offline-settings.xml" << XML
<settings>
  <mirrors>
    <mirror>
      <id>cache</id>
      <mirrorOf>external:*</mirrorOf>
      <url>file://$cache_dir/m2/repository</url>
    </mirror>
  </mirrors>
  <profiles>
    <profile>
      <id>offline</id>
      <repositories>
        <repository>
          <id>image</id>
          <url>file://$image_repository</url>
          <releases><checksumPolicy>ignore</checksumPolicy></releases>
        </repository>
        <repository>
          <id>image-more</id>
          <url>file://$cache_dir/m2/image-more</url>
          <releases><checksumPolicy>ignore</checksumPolicy></releases>
        </repository>
      </repositories>
      <pluginRepositories>
        <pluginRepository>
          <id>image</id>
          <url>file://$image_repository</url>
          <releases><checksumPolicy>ignore</checksumPolicy></releases>
        </pluginRepository>
        <pluginRepository>
          <id>image-more</id>
          <url>file://$cache_dir/m2/image-more</url>
          <releases><checksumPolicy>ignore</checksumPolicy></releases>
        </pluginRepository>
      </pluginRepositories>
    </profile>
  </profiles>
  <activeProfiles><activeProfile>offline</activeProfile></activeProfiles>
</settings>
XML
}

# Maven gives plugins that depend on no plexus-utils the one of version 1.1, as maven-clean-plugin. Debian has a newer one only.
complete_image_repository() {
  local target="$cache_dir/m2/image-more/org/codehaus/plexus/plexus-utils/1.1" jars
  jars=("$image_repository"/org/codehaus/plexus/plexus-utils/*/*.jar)
  [[ -f ${jars[0]} ]] || return 0
  mkdir -p "$target"
  cp -L "${jars[0]}" "$target/plexus-utils-1.1.jar"
  cat > "$target/plexus-utils-1.1.pom" << 'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.codehaus.plexus</groupId>
  <artifactId>plexus-utils</artifactId>
  <version>1.1</version>
</project>
XML
}

run_maven_build() {
  local goals=(clean dependency:list install) options=(-DskipTests)
  [[ -z ${MAVEN_CUSTOM_GOALS:-} ]] || read -ra goals <<< "$MAVEN_CUSTOM_GOALS"
  [[ -z ${MAVEN_CUSTOM_OPTS:-} ]] || read -ra options <<< "$MAVEN_CUSTOM_OPTS"
  run_maven "${options[@]}" "${goals[@]}"
  if ! procfile_has_web . && ! grep -qs '<groupId>org\.springframework\.boot</groupId>' pom.xml; then
    warn "There is no Procfile that says how to run the app, e.g. web: java \$JAVA_OPTS -jar target/app.jar"
  fi
}

run_maven_test_compile() {
  local options=()
  [[ -z ${MAVEN_CUSTOM_OPTS:-} ]] || read -ra options <<< "$MAVEN_CUSTOM_OPTS"
  run_maven "${options[@]}" clean test-compile
}

# Debian's Maven prints sequences for terminals whatever it is told, to both outputs. And it looks at all plugins that its own
# defaults name, of which the image has other versions, or none; an error follows if one of them is needed after all.
readable() {
  local edits=(-e 's/\x1b\[[0-9;]*m//g')
  [[ $offline == no ]] || edits+=(-e '/^\[WARNING\] (The POM for|The artifact|Failed to retrieve plugin descriptor for) org\.apache\.maven\.plugins:/d')
  # shellcheck disable=SC2016 # sed's $ and no variable
  "$@" 2>&1 | sed -u -E "${edits[@]}" -e '${/^$/d}'
}

run_maven() {
  header "Executing Maven"
  line "$ ${maven[0]} $*"
  run_logged readable "${maven[@]}" "$@" || explain_failure
  echo
}

# bin/test is not told where the cache is.
write_test_environment() {
  mkdir -p .heroku/java
  {
    # shellcheck disable=SC2016 # $PATH is for whoever sources the file
    printf 'export JAVA_HOME=%q PATH=%q:"$PATH" MAVEN_OPTS=%q MAVEN_USER_HOME=%q\n' "$JAVA_HOME" "$JAVA_HOME/bin" \
      "$MAVEN_OPTS" "$MAVEN_USER_HOME"
    declare -p maven
  } > .heroku/java/test.env
}

# The output above has the details.
explain_failure() {
  local what="Failed to build the app with Maven." log host
  log="$(< "$command_log")"
  case "$log" in
    *'Non-parseable POM'* | *'Non-readable POM'* | *'The build could not read'*)
      fail "$what" "pom.xml cannot be read: the lines above say where."
      ;;
    *'Non-parseable settings'*)
      fail "$what" "The settings for Maven cannot be read: the lines above say where."
      ;;
    *'invalid target release'* | *'release version '*' not supported'* | *'invalid source release'*)
      fail "$what" "The app wants to be compiled for a newer Java than $java_feature: say so in system.properties" \
        "(java.runtime.version)."
      ;;
  esac
  if [[ $offline == yes ]] && grep -Eq 'could not be resolved|Could not (find|resolve)|Could not transfer' <<< "$log"; then
    local lines
    mapfile -t lines < <(image_plugins)
    fail "$what" "repo.maven.apache.org could not be reached, and the artifact named above is neither in the cache of" \
      "earlier builds nor in the image. Plugins in the image are of these versions (leave versions out for the defaults):" \
      "${lines[@]}"
  fi
  if host="$(unreachable_host "$command_log")"; then
    fail "$what" "$host could not be reached: is the network down?"
  fi
  fail "$what" "The lines above say why."
}

image_plugins() {
  local folder
  for folder in "$image_repository"/org/apache/maven/plugins/maven-*-plugin; do
    echo "${folder##*/} $(cd "$folder" && printf '%s ' [0-9]*)"
  done
}
