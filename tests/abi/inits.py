#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a function that uses each INIT macro of the public headers, to be compiled as C and C++.

Usage: inits.py OUT.c OUT.cpp HEADER ...
"""

import os
import re
import sys


def main(c_path, cpp_path, *headers):
    lines = ['#include <stdint.h>']
    lines += [f'#include <modelmesh/{os.path.basename(header)}>' for header in headers]
    lines += ['uint32_t inits_work(void);', 'uint32_t inits_work(void) {', '    uint32_t sum = 0;']
    for header in headers:
        with open(header, encoding='utf-8') as file:
            macros = re.findall(r'^#define (MM_(\w+)_INIT)\b', file.read(), re.M)
        for macro, name in macros:
            variable = name.lower()
            lines += [f'    mm_{variable} {variable} = {macro};',
                      f'    sum += {variable}.struct_size;']
    text = '\n'.join(lines + ['    return sum;', '}', ''])
    for path in (c_path, cpp_path):
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)


if __name__ == '__main__':
    main(*sys.argv[1:])
