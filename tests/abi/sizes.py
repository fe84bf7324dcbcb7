#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layout of every public struct, compared with sizes.txt: frozen from release 1.0 on.

Usage: sizes.py generate HEADER ...            writes a C program that prints the layouts
       sizes.py compare PROGRAM sizes.txt MAJOR    prints differences; fails if MAJOR >= 1
       sizes.py update PROGRAM sizes.txt       accepts the layouts as they are
"""

import difflib
import os
import re
import subprocess
import sys


def fields(body):
    """The names declared in a struct's body."""
    for declaration in re.sub(r'\s+', ' ', body).split(';'):
        pointer = re.search(r'\(\s*\*\s*(\w+)\s*\)\s*\(', declaration)
        if pointer:
            yield pointer.group(1)
        elif declaration.strip():
            for declarator in declaration.split(','):
                yield re.search(r'(\w+)\s*(?:\[[^\]]*\]\s*)*$', declarator.strip()).group(1)


def structs(path):
    with open(path, encoding='utf-8') as file:
        text = re.sub(r'/\*.*?\*/', ' ', file.read(), flags=re.S)
    for match in re.finditer(r'\btypedef\s+struct\s+\w*\s*\{(.*?)\}\s*(\w+)\s*;', text, re.S):
        yield match.group(2), list(fields(match.group(1)))


def generate(*headers):
    lines = ['#include <stddef.h>', '#include <stdio.h>']
    lines += [f'#include <modelmesh/{os.path.basename(header)}>' for header in headers]
    lines += ['int main(void) {']
    for header in headers:
        for name, members in structs(header):
            lines.append(f'    printf("{name} %zu\\n", sizeof({name}));')
            lines += [f'    printf("{name}.{member} %zu\\n", offsetof({name}, {member}));'
                      for member in members]
            if 'struct_size' in members:
                # Padding there would be rubbish to the library that has a field in its place.
                last = members[-1]
                lines.append(f'    _Static_assert(offsetof({name}, {last}) + '
                             f'sizeof((({name} *)0)->{last}) == sizeof({name}), '
                             f'"{name} ends with padding");')
    print('\n'.join(lines + ['    return 0;', '}']))


def layouts(program):
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def compare(program, table, major):
    now = layouts(program)
    with open(table, encoding='utf-8') as file:
        frozen = file.read()
    difference = list(difflib.unified_diff(frozen.splitlines(), now.splitlines(), 'frozen', 'now',
                                           lineterm='', n=0))
    print('\n'.join(difference) or f'{len(now.splitlines())} sizes and offsets, all as frozen')
    if not now or (difference and int(major) >= 1):
        sys.exit(1)


def update(program, table):
    with open(table, 'w', encoding='utf-8') as file:
        file.write(layouts(program))


if __name__ == '__main__':
    {'generate': generate, 'compare': compare, 'update': update}[sys.argv[1]](*sys.argv[2:])
