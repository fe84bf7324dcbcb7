#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints lease_step.c with the code of the lease pasted in, one mutation applied.

lease_mutate.py MUTATION lease.h lease.c lease_step.c
"""
import sys

# mutation: (what it does, [(old, new), ...]); each old text must be there exactly once.
MUTATIONS = {
    'a': ('state loaded before the add', [(
        '    atomic_fetch_add_explicit(&mine->count, 1, memory_order_seq_cst);\n'
        '    if (__builtin_expect(atomic_load_explicit(&slot->st, memory_order_seq_cst)'
        ' == ready_word, 1)) {\n',
        '    uint64_t st = atomic_load_explicit(&slot->st, memory_order_seq_cst);\n'
        '    atomic_fetch_add_explicit(&mine->count, 1, memory_order_seq_cst);\n'
        '    if (st == ready_word) {\n')]),
    'b': ('no recheck in release', [(
        '    return mmi_lease_watched(lease->slot);\n',
        '    return false;\n')]),
    'c': ('scan before the DRAINING store', [(
        '    store_state(slot, MMI_DRAINING);\n'
        '    return mmi_slot_settle(slot);\n',
        '    bool zero = mmi_slot_is_idle(slot);\n'
        '    store_state(slot, MMI_DRAINING);\n'
        '    if (zero) {\n'
        '        store_state(slot, MMI_RECLAIMABLE);\n'
        '    }\n'
        '    return zero ? MMI_SETTLED_RECLAIMABLE : MMI_UNSETTLED;\n')]),
    'd': ('wanted only after a look at the leases', [(
        '    atomic_store_explicit(&slot->wanted, 1, memory_order_seq_cst);\n'
        '    return mmi_slot_settle(slot) == MMI_SETTLED_IDLE;\n',
        '    bool idle = mmi_slot_is_idle(slot);\n'
        '    atomic_store_explicit(&slot->wanted, !idle, memory_order_seq_cst);\n'
        '    return idle;\n')]),
}


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def replace_once(text, old, new, where):
    if text.count(old) != 1:
        sys.exit(f'{where}: expected exactly once:\n{old}')
    return text.replace(old, new)


def main():
    mutation, header, source, test = sys.argv[1:]
    what, changes = MUTATIONS[mutation]
    code = read(header) + read(source)
    for old, new in changes:
        code = replace_once(code, old, new, f'{header}, {source}')
    text = replace_once(read(test), '#include <residency/lease.c>\n', code, test)
    print(f'#define LEASE_MUTATION "{what}"')
    # What comes from a header may stay unused.
    print('#pragma GCC diagnostic ignored "-Wunused-function"')
    print(text, end='')


main()
