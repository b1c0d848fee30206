# Environment of a Java dyno; config vars win over these defaults.
# shellcheck shell=bash
export JAVA_HOME="$HOME/.jdk"
export PATH="$JAVA_HOME/bin:$PATH"
export LANG="${LANG:-C.UTF-8}"

# The heap has to leave room for everything else in the dyno's memory (Dev Center "Java Memory Issues").
__java_memory_options() {
  local memory="${MEMORY_AVAILABLE:-}" file bytes
  if [[ ! $memory =~ ^[1-9][0-9]*$ ]]; then
    memory=512
    for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
      [[ -r $file ]] || continue
      bytes="$(< "$file")"
      # cgroup v1 says "no limit" with a number near 2^63.
      if [[ $bytes =~ ^[0-9]+$ ]] && ((${#bytes} < 15)); then
        memory=$((bytes / 1024 / 1024))
        break
      fi
    done
  fi
  if ((memory <= 512)); then
    echo "-Xmx300m -Xss512k -XX:CICompilerCount=2"
  elif ((memory <= 1024)); then
    echo "-Xmx671m -XX:CICompilerCount=2"
  elif ((memory <= 2560)); then
    echo "-Xmx2g"
  else
    # 12 GB of 14 GB.
    echo "-Xmx$((memory * 6 / 7))m"
  fi
}
__java_defaults="$(__java_memory_options)"
case "${JAVA_OPTS:-} ${JAVA_TOOL_OPTIONS:-}" in
  # Whoever sets the heap knows better.
  *-Xmx* | *-XX:MaxRAMPercentage=*) __java_defaults='' ;;
esac
export JAVA_OPTS="${JAVA_OPTS:-$__java_defaults}"
export JAVA_TOOL_OPTIONS="${__java_defaults:+$__java_defaults }${JAVA_TOOL_OPTIONS:--Dfile.encoding=UTF-8}"
unset -f __java_memory_options
unset __java_defaults

# __jdbc_variables URL PREFIX: from scheme://user:password@host:port/database?options, for JDBC, the variables
# <PREFIX>_URL, _USERNAME and _PASSWORD. Another scheme gives none.
__jdbc_variables() {
  local url="$1" prefix="$2" scheme rest credentials='' user='' password='' query=''
  case "$url" in
    postgres://* | postgresql://*) scheme=jdbc:postgresql ;;
    mysql://* | mysql2://*) scheme=jdbc:mysql ;;
    mariadb://*) scheme=jdbc:mariadb ;;
    *) return 0 ;;
  esac
  rest="${url#*://}"
  if [[ $rest == *\?* ]]; then
    query="${rest#*\?}"
    rest="${rest%%\?*}"
  fi
  if [[ $rest == *@* ]]; then
    credentials="${rest%@*}"
    rest="${rest##*@}"
    user="${credentials%%:*}"
    [[ $credentials != *:* ]] || password="${credentials#*:}"
    # In the URL they stay encoded.
    query="user=$user&password=$password${query:+&$query}"
  fi
  export "${prefix}_URL=$scheme://$rest${query:+?$query}"
  export "${prefix}_USERNAME=$(__url_decode "$user")"
  export "${prefix}_PASSWORD=$(__url_decode "$password")"
}

__url_decode() {
  # Backslashes of the text itself are not for printf.
  local text="${1//\\/\\\\}"
  printf '%b' "${text//%/\\x}"
}

# Dev Center "Connecting to Relational Databases on Heroku with Java".
if [[ -z ${JDBC_DATABASE_URL:-} ]]; then
  __jdbc_variables "${DATABASE_URL:-${JAWSDB_URL:-${JAWSDB_MARIA_URL:-${CLEARDB_DATABASE_URL:-}}}}" JDBC_DATABASE
fi
for __jdbc_name in "${!HEROKU_POSTGRESQL_@}"; do
  [[ $__jdbc_name == *_JDBC_URL || $__jdbc_name != *_URL ]] ||
    __jdbc_variables "${!__jdbc_name}" "${__jdbc_name%_URL}_JDBC"
done
if [[ -n ${JDBC_DATABASE_URL:-} && -z ${SPRING_DATASOURCE_URL:-} && ${DISABLE_SPRING_DATASOURCE_URL:-} != true ]]; then
  export SPRING_DATASOURCE_URL="$JDBC_DATABASE_URL"
  export SPRING_DATASOURCE_USERNAME="${JDBC_DATABASE_USERNAME:-}"
  export SPRING_DATASOURCE_PASSWORD="${JDBC_DATABASE_PASSWORD:-}"
fi
unset -f __jdbc_variables __url_decode
unset __jdbc_name
