#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the shared library exports is what the public headers declare with MM_API: no more, no less.

Usage: symbols.py NM LIBRARY HEADER ...
"""

import re
import subprocess
import sys


def declared(path):
    with open(path, encoding='utf-8') as file:
        text = re.sub(r'/\*.*?\*/', ' ', file.read(), flags=re.S)
    text = re.sub(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', '', text, flags=re.M)
    return set(re.findall(r'\bMM_API\b[^;({]*?\b(\w+)\s*\(', text))


def exported(nm, library):
    lines = subprocess.run([nm, '-D', '--defined-only', library], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return {line.split()[-1].split('@')[0] for line in lines}


def main(nm, library, *headers):
    promised = set().union(*map(declared, headers))
    given = exported(nm, library)
    for name in sorted(promised - given):
        print(f'declared but not exported: {name}')
    for name in sorted(given - promised):
        print(f'exported but not declared: {name}')
    print(f'{len(given)} symbols exported, {len(promised)} declared')
    return 0 if promised == given and promised else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
