"""Makes a package index of wheels, as a folder that any web server can serve (PEP 503, "Simple Repository API").

wheel-index.py DIRECTORY own NAME VERSION CODE [SCRIPT]   a package of one module, and a command that calls its main()
wheel-index.py DIRECTORY debian PACKAGE...                Debian's packages of pure Python, downloaded with apt-get
"""

import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from email import message_from_string
from pathlib import Path


def write_wheel(index, name, version, files, entry_points=''):
    info = f"{re.sub(r'[-.]+', '_', name)}-{version}.dist-info"
    files = {
        **files,
        f'{info}/WHEEL': b'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    }
    if f'{info}/METADATA' not in files:
        files[f'{info}/METADATA'] = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'.encode()
    if entry_points:
        files[f'{info}/entry_points.txt'] = entry_points.encode()
    record = ''.join(f'{path},sha256={digest(content)},{len(content)}\n' for path, content in files.items())
    files[f'{info}/RECORD'] = f'{record}{info}/RECORD,,\n'.encode()
    folder = index / 'simple' / re.sub(r'[-_.]+', '-', name).lower()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{re.sub(r'[-.]+', '_', name)}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, 'w') as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), content)
    print(f'{wheel} sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}')


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()


def own(index, name, version, code, script=''):
    module = name.replace('-', '_')
    entry_points = f'[console_scripts]\n{script} = {module}:main\n' if script else ''
    write_wheel(index, name, version, {f'{module}/__init__.py': code.encode()}, entry_points)


def debian(index, *packages):
    with tempfile.TemporaryDirectory() as work:
        # apt's own folders belong to root.
        apt = ['apt-get', '-o', f'Dir::State={work}/state', '-o', f'Dir::Cache={work}/cache', '-o', 'Debug::NoLocking=1']
        for folder in ('state/lists/partial', 'cache/archives/partial', 'root'):
            (Path(work) / folder).mkdir(parents=True)
        for arguments in (['update'], ['download', *packages]):
            subprocess.run([*apt, *arguments], cwd=work, check=True, stdout=subprocess.DEVNULL)
        roots = {}
        for deb in sorted(Path(work).glob('*.deb')):
            package = subprocess.check_output(['dpkg-deb', '-f', deb, 'Package'], text=True).strip()
            subprocess.run(['dpkg', '-x', deb, f'{work}/root/{package}'], check=True)
            folder = Path(work) / 'root' / package / 'usr/lib/python3/dist-packages'
            depends = subprocess.check_output(['dpkg-deb', '-f', deb, 'Depends'], text=True)
            roots[package] = (folder, re.findall(r'python3-[\w.-]+', depends), next(folder.glob('*.egg-info')))
        names = {package: info(egg_info)['Name'] for package, (_, _, egg_info) in roots.items()}
        for folder, depends, egg_info in roots.values():
            # Debian has moved them from the metadata into those of its package.
            convert(index, folder, egg_info, sorted(names[package] for package in set(depends) if package in names))


def info(egg_info):
    return message_from_string((egg_info / 'PKG-INFO' if egg_info.is_dir() else egg_info).read_text())


def convert(index, root, egg_info, requires):
    name, version = info(egg_info)['Name'], info(egg_info)['Version']
    top_level = (egg_info / 'top_level.txt').read_text().split()
    files = {}
    for module in top_level:
        for file in sorted([*(root / module).rglob('*'), root / f'{module}.py']):
            if file.is_file() and file.suffix != '.pyc':
                files[str(file.relative_to(root))] = file.read_bytes()
    head = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
    head += ''.join(f'Requires-Dist: {name}\n' for name in requires)
    files[f"{re.sub(r'[-.]+', '_', name)}-{version}.dist-info/METADATA"] = head.encode()
    entry_points = egg_info / 'entry_points.txt'
    write_wheel(index, name, version, files, entry_points.read_text() if entry_points.exists() else '')


{'own': own, 'debian': debian}[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
