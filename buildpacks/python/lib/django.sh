# Django's static files.
# shellcheck shell=bash disable=SC2034,SC2154 # the files of lib/ share variables

collect_static_files() {
  local manage settings_command
  python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("django") is None)' || return 0
  if [[ -n ${DISABLE_COLLECTSTATIC:-} && $DISABLE_COLLECTSTATIC != 0 ]]; then
    header "Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set."
    return 0
  fi
  manage="$(find . -maxdepth 3 -type f -name manage.py -not -path './.heroku/*' -printf '%d %P\n' | sort -n | head -n 1 | cut -d ' ' -f 2-)"
  if [[ -z $manage ]]; then
    header "Skipping Django collectstatic since no manage.py file found."
    return 0
  fi
  settings_command="python $manage collectstatic --noinput"
  header "\$ $settings_command"
  if PYTHONPATH="$build_dir" run_logged python "$manage" collectstatic --noinput; then
    return 0
  fi
  if grep -q "Unknown command: 'collectstatic'" "$command_log"; then
    line "Skipped, because django.contrib.staticfiles is not among the INSTALLED_APPS."
    return 0
  fi
  fail "Error while running '\$ $settings_command'." \
    "See traceback above for details." \
    "" \
    "You may need to update application code to resolve this error." \
    "Or, you can disable collectstatic for this application:" \
    "" \
    "   \$ heroku config:set DISABLE_COLLECTSTATIC=1" \
    "" \
    "https://devcenter.heroku.com/articles/django-assets"
}
