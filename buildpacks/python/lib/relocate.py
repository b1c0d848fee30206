"""relocate.py PYTHON_DIR BUILD_DIR: makes an environment work wherever its folder is.

Scripts find the interpreter beside themselves, and what was installed in editable mode is found relative to
site-packages. Both then hold in the build, in later builds from the cache and in dynos.
"""

import os
import re
import sys
from pathlib import Path

python_dir, build_dir = Path(sys.argv[1]), sys.argv[2]

# A shell runs the second line, which is a string to Python.
LAUNCHER = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'%s' %s"$0" "$@"
' '''
"""


def main():
    for script in sorted((python_dir / 'bin').iterdir()):
        if script.is_file() and not script.is_symlink():
            relocate_script(script)
    for packages in sorted(python_dir.glob('lib/python3*/site-packages')):
        for file in sorted(packages.glob('*.pth')):
            relocate_lines(file, packages)
        # Only read by tools that list or remove packages, which want the folder's whole name.
        for file in sorted(packages.glob('*.egg-link')):
            replace(file, lambda text: text.replace(build_dir, '/app'))
        for file in sorted(packages.glob('__editable__*_finder.py')):
            relocate_finder(file, packages)
        for file in sorted(packages.glob('*.dist-info/direct_url.json')):
            replace(file, lambda text: text.replace(f'file://{build_dir}', 'file:///app'))
        for file in sorted(packages.glob('*.dist-info/RECORD')):
            relocate_record(file, packages)


def replace(file, change):
    text = file.read_text(encoding='utf-8', errors='surrogateescape')
    changed = change(text)
    if changed != text:
        file.write_text(changed, encoding='utf-8', errors='surrogateescape')


def relocate_script(script):
    content = script.read_bytes()
    match = re.match(
        rb'#!' + re.escape(os.fsencode(str(python_dir / 'bin'))) + rb'/(python[0-9.]*)[ \t]*([^\n]*)\n', content
    )
    # Where the folder's name is too long for a first line, pip writes a launcher as well, with the folder in it.
    long = re.match(
        rb"#!/bin/sh\n'''exec' \"?" + re.escape(os.fsencode(str(python_dir / 'bin'))) + rb"/(python[0-9.]*)\"? ()[^\n]*\n' '''\n",
        content,
    )
    found = match or long
    if found is None:
        return
    flags = found[2] + b' ' if found[2] else b''
    script.write_bytes(LAUNCHER % (found[1], flags) + content[found.end() :])


def relative(path, packages):
    return os.path.relpath(path, packages)


def inside(path):
    return path == build_dir or path.startswith(build_dir + '/')


def relocate_lines(file, packages):
    """A line that is no import is a path, relative to the folder of the file."""

    def change(text):
        lines = [relative(line, packages) if inside(line) else line for line in text.splitlines()]
        return ''.join(f'{line}\n' for line in dict.fromkeys(lines))

    replace(file, change)


def relocate_record(file, packages):
    """Its paths may be relative to site-packages, and Poetry writes whole ones."""

    def change(text):
        lines = [
            f"{relative(path, packages)},{rest}" if inside(path) else f'{path},{rest}'
            for path, rest in (line.split(',', 1) for line in text.splitlines() if ',' in line)
        ]
        return ''.join(f'{line}\n' for line in lines)

    if build_dir in file.read_text(encoding='utf-8', errors='surrogateescape'):
        replace(file, change)


def relocate_finder(file, packages):
    """setuptools maps names of packages to folders in a literal: strings become expressions."""

    def expression(match):
        path = relative(match[2], packages)
        return f"__import__('os').path.normpath(__import__('os').path.join(__file__, '..', {path!r}))"

    pattern = re.compile(r"""(['"])(""" + re.escape(build_dir) + r"""(?:/[^'"\n]*)?)\1""")
    replace(file, lambda text: pattern.sub(expression, text))


main()
