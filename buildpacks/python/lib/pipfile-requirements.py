"""pipfile-requirements.py [--develop]: prints what Pipfile.lock says in the form of a requirements file.

Ends with status 1 and a sentence on standard error if the lock file does not fit the Pipfile.
"""

import json
import os
import re
import sys
import tomllib

OUTDATED = "Run 'pipenv lock' on your machine and commit the changed Pipfile.lock."


def main():
    with open('Pipfile.lock', encoding='utf-8') as file:
        lock = json.load(file)
    sections = ['default'] + (['develop'] if '--develop' in sys.argv else [])
    check_pipfile(lock)
    for number, source in enumerate(lock.get('_meta', {}).get('sources', [])):
        # A config var wins, as it does for pip.
        if number == 0 and 'PIP_INDEX_URL' in os.environ:
            continue
        url = re.sub(r'\$\{?(\w+)\}?', lambda match: os.environ.get(match[1], ''), source['url'])
        print(('--index-url' if number == 0 else '--extra-index-url') + ' ' + url)
    packages = {}
    for section in sections:
        packages.update(lock.get(section, {}))
    # pip wants hashes for all or for none, and what comes from git or a folder has none.
    hashed = all(entry.get('hashes') for entry in packages.values())
    for name, entry in sorted(packages.items()):
        print(requirement(name, entry, hashed))


def requirement(name, entry, hashed):
    marker = f" ; {entry['markers']}" if 'markers' in entry else ''
    extras = f"[{','.join(entry['extras'])}]" if entry.get('extras') else ''
    if 'git' in entry:
        location = f"git+{entry['git']}" + (f"@{entry['ref']}" if 'ref' in entry else '')
        fragment = f"&subdirectory={entry['subdirectory']}" if 'subdirectory' in entry else ''
        if entry.get('editable'):
            return f'-e {location}#egg={name}{extras}{fragment}'
        return f"{name}{extras} @ {location}{'#' + fragment[1:] if fragment else ''}{marker}"
    if 'path' in entry:
        return ('-e ' if entry.get('editable') else '') + f"{entry['path']}{extras}"
    if 'file' in entry:
        return f"{name}{extras} @ {entry['file']}{marker}"
    hashes = ''.join(f' --hash={digest}' for digest in entry['hashes']) if hashed else ''
    return f"{name}{extras}{entry.get('version', '')}{marker}{hashes}"


def check_pipfile(lock):
    if not os.path.exists('Pipfile'):
        return
    try:
        with open('Pipfile', 'rb') as file:
            pipfile = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        sys.exit(f'Pipfile is not valid TOML: {error}')
    locked = {normalize(name) for name in lock.get('default', {})}
    missing = [name for name in pipfile.get('packages', {}) if normalize(name) not in locked]
    if missing:
        sys.exit(f"it does not fit the Pipfile and lacks {', '.join(missing)}. {OUTDATED}")


def normalize(name):
    return re.sub(r'[-_.]+', '-', name).lower()


main()
