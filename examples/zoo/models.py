#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The list of public models (models.txt), and what the tools of the zoo share."""

import collections
import hashlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
Model = collections.namedtuple('Model', 'name kind count package member sha256 size licence')


def rows(name, fields):
    """The fields of each line of a list beside this file; the last may have blanks in it."""
    with open(os.path.join(HERE, name), encoding='utf-8') as file:
        return [line.split(None, fields - 1) for line in file.read().splitlines()
                if line.strip() and not line.startswith('#')]


def listed():
    return [Model(*row[:2], int(row[2]), *row[3:6], int(row[6]), row[7])
            for row in rows('models.txt', 8)]


def file_name(name):
    return name.replace('/', '-') + '.onnx'


def sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def write(path, data):
    """Whole or not at all: an interrupted run leaves no half file under its name."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.part', 'wb') as file:
        file.write(data)
    os.replace(path + '.part', path)


def fail(text):
    sys.exit(f'zoo: {text}')
