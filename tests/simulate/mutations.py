#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the simulation find what it is there to find? Breaks the library in one place after the
other and runs seeds until one fails that does not fail without.

mutations.py [--seeds N] [NAME ...]      default: 20,000 seeds, every mutation

Prints a line for each; exits 1 when one was not found, or does not apply any more. The copy of the
sources and its build lie under build/mutations and are used again.
"""
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, 'build', 'mutations')
COPY = os.path.join(WORK, 'source')
BUILD = os.path.join(WORK, 'build')
PROGRAM = os.path.join(BUILD, 'tests', 'test-simulate')

# name: (file, old text, new text, another old, another new ...); each must be there exactly once.
MUTATIONS = {
    # Queues, timers, operations.
    'an op that completes wakes nobody': (
        'lib/work/completion_queue.c',
        '    mmi_cond_broadcast(&op->completed);\n',
        ''),
    'who waits is told before the callback': (
        'lib/work/op.c',
        'atomic_load_explicit(&op->delivered, memory_order_acquire) ||',
        'atomic_load_explicit(&op->complete, memory_order_acquire) ||'),
    'a cancel is not passed on': (
        'lib/work/op.c',
        '    if (op->config.cancel) {\n',
        '    if (false) {\n'),
    'a submitted task wakes no thread': (
        'lib/work/executor.c',
        '    mmi_cond_signal(&executor->submitted);\n',
        ''),
    'a queue serves the last to come first': (
        'lib/work/executor.c',
        'of_level(lower)->priority >= task->priority',
        'of_level(lower)->priority > task->priority'),
    'an earlier time does not wake the timer thread': (
        'lib/residency/timers.c',
        '            mmi_timer_thread_arm(timers->thread, at_ns);\n',
        ''),
    # Waits.
    'a wait does not arm its deadline': (
        'lib/residency/waiters.c',
        '    if (deadline_ns) {\n        mmi_timer_set(&res->timers, &waiter->timer',
        '    if (false) {\n        mmi_timer_set(&res->timers, &waiter->timer'),
    'a wait for a thread does not arm its deadline': (
        'lib/residency/pending.c',
        '    if (request->deadline_ns) {\n',
        '    if (false) {\n'),
    'a cancel is an event, not a state': (
        'lib/residency/request.c',
        '    if (atomic_load(&pending->cancel.cancelled)) {\n',
        '    if (false) {\n'),
    'who waits is served last come first': (
        'lib/residency/waiters.c',
        'mmi_waiter_of(at->prev)->priority < waiter->priority',
        'mmi_waiter_of(at->prev)->priority <= waiter->priority'),
    'work is handed to a caller that has some': (
        'lib/residency/lock.c',
        'waiter->blocked && !waiter->blocked->task &&',
        'waiter->blocked &&'),
    'a close forgets who waits for an update': (
        'lib/residency/residency.c',
        '        mmi_waiters_end(res, &model->updating, MM_CLOSED, NULL);\n',
        ''),
    'a stop does not wait for operations': (
        'lib/residency/residency.c',
        'mmi_list_empty(&res->requests)',
        'true'),
    "an eviction inside of another slot than infer waits": (
        'lib/residency/request.c',
        'mmi_frame_in_slot(res) || ',
        ''),
    'size is no call of a backend': (
        'lib/residency/signatures.c',
        '    mmi_frame_enter(&frame, res, 0, MMI_FRAME_SLOT);\n',
        '',
        '    mmi_frame_leave(&frame);\n',
        '    (void)frame;\n'),
    # Marks.
    'an instance that changes does not mark its model': (
        'lib/residency/state.h',
        '    mmi_mark_model(res, instance->model);\n    mmi_mark_memory(res);\n',
        '    mmi_mark_memory(res);\n'),
    'an instance that changes does not mark memory': (
        'lib/residency/state.h',
        '    mmi_mark_model(res, instance->model);\n    mmi_mark_memory(res);\n',
        '    mmi_mark_model(res, instance->model);\n'),
    'scratch that comes back marks nothing': (
        'lib/residency/execute.c',
        '    if (mmi_scratch_give(run->instance->dev, slot)) {\n',
        '    if (mmi_scratch_give(run->instance->dev, slot) && false) {\n'),
    'what may come back again is not announced': (
        'lib/residency/make_room.c',
        '            release_needed(res, &res->devices[i]);\n',
        ''),
    # Leases and who leaves.
    'a drain does not wait for leases': (
        'lib/residency/lease.c',
        '(state != MMI_DRAINING && !leaving && !wanted) || !mmi_slot_is_idle(slot)',
        '(state != MMI_DRAINING && !leaving && !wanted)'),
    'a held update is not looked at again': (
        'lib/residency/demand.c',
        '    if (!mmi_update_waits(res, model)) {\n        mmi_update_go_on(res, model);\n    }\n',
        ''),
    'a lease is given back twice': (
        'lib/residency/admission.c',
        '    lease_back(res, &admission->lease);\n}\n',
        '    struct mmi_lease lease = admission->lease;\n'
        '    lease_back(res, &admission->lease);\n    lease_back(res, &lease);\n}\n'),
    'a run waits for one that waits for memory itself': (
        'lib/residency/fit.c',
        'need->scratch && instance->stalled > 0',
        'false'),
    'a drain waits for an operation without a thread': (
        'lib/residency/demand.c',
        '    revoke_parked(model);\n',
        ''),
    'memory is taken while a claim detaches for it': (
        'lib/residency/make_room.c',
        '        dev->promised = dev->taking;\n',
        '        dev->promised = false;\n'),
    'what leaves for a claim may come back before it': (
        'lib/residency/instance.c',
        'instance->for_claim && instance->dev->needed_round == res->round',
        'false'),
    'a pinned model is chosen': (
        'lib/residency/fit.c',
        '(model && model->settings.pinned) || hotter',
        'hotter'),
    'a model leaves before its time': (
        'lib/residency/fit.c',
        'need->shrink_bytes ? 0 : instance->stay_until_ns',
        '0'),
    # Statuses, counts, versions, the log.
    'the status of attach is taken at its word': (
        'lib/plugin/status.c',
        '    bool may = mmi_slot_may(backend->table, slot, status);\n',
        '    bool may = true;\n'),
    'uses of an instance that goes are not counted': (
        'lib/residency/instance.c',
        '        instance->model->served += served;\n',
        ''),
    'the old version stays after the switch': (
        'lib/residency/update.c',
        '    mmi_version_abandon(res, old, MMI_REASON_UPDATE);\n'
        '    mmi_waiters_end(res, &model->updating, MM_OK, NULL);\n',
        '    mmi_version_unref(res, old);\n'
        '    mmi_waiters_end(res, &model->updating, MM_OK, NULL);\n'),
    'a load that is cancelled has no end in the log': (
        'lib/residency/load.c',
        '    log_failure(res, instance, MMI_EVENT_LOAD_FAILED, status);\n',
        '    if (status != MM_CANCELLED) {\n'
        '        log_failure(res, instance, MMI_EVENT_LOAD_FAILED, status);\n    }\n'),
    'an update with the source alone drops the pin': (
        'lib/residency/request.c',
        '    version->settings.pinned |= newest->settings.pinned;\n',
        ''),
    'an update does not arm its deadline': (
        'lib/residency/request.c',
        'mmi_waiter_add(res, waiter, &none, request->deadline_ns, ',
        'mmi_waiter_add(res, waiter, &none, 0, '),
    'copies that are idle take turns': (
        'lib/residency/instance.c',
        '    } else if (model_ns >= ttl_ns) {\n        leave_idle(res, instance->version);\n',
        '    } else if (own_ns >= ttl_ns) {\n'
        '        mmi_instance_leave(res, instance, MMI_REASON_IDLE, NULL);\n'),
    'who asks about a model brings it back': (
        'lib/residency/request.c',
        '    waiter->model = model;\n    waiter->counts_as_miss',
        '    revive_one(res, model);\n    waiter->model = model;\n    waiter->counts_as_miss'),
    # Sources and prepared models.
    'a file that changes while it is read goes unnoticed': (
        'lib/catalog/prepare.c',
        '    if (status == MM_OK && !mmi_source_unchanged(p->source)) {\n',
        '    if (false) {\n'),
    'other content is taken for the version\'s': (
        'lib/catalog/prepare.c',
        '    return p->version->content_known && !mmi_hash_equal(',
        '    return false && !mmi_hash_equal('),
    'the times of a file are not looked at': (
        'lib/source/source.c',
        ' && mmi_hash_equal(a->state, b->state)',
        ''),
    'an artifact is dropped while it is held': (
        'lib/artifact/temporary_cache.c',
        '    return artifact->holds == 0 && !artifact->room.passing && ',
        '    return !artifact->room.passing && '),
    'an artifact budget says who may be loaded': (
        'lib/artifact/temporary_room.c',
        '    if (bytes == 0) {\n        return MM_OK;\n    }\n',
        '    if (bytes == 0) {\n        return MM_OK;\n    }\n'
        '    if (room->passing) {\n        mmi_room_give(store, room);\n'
        '        return refuse(&store->memory, bytes, ENOSPC, err);\n    }\n'),
    'weights that were dropped are not prepared again': (
        'lib/residency/load.c',
        '        if (instance->build->opened == instance->opened) {\n',
        '        if (false) {\n'),
    # Devices and values.
    'a piece of the weights is not waited for': (
        'lib/residency/transfer.c',
        '    MMI_TRY(transfer->device->ops->wait(transfer->device, &piece->there, err));\n',
        '    (void)err;\n'),
    'who waits for a device sets no timer': (
        'lib/device/sim_time.c',
        '            mmi_cond_wait(&sim->changed, &sim->lock, clock, over_ns);\n',
        '            mmi_cond_wait(&sim->changed, &sim->lock, clock, 0);\n'),
    'a value that is copied is not waited for': (
        'lib/api/location.c',
        '        status = ops->wait(device, &over, err);\n',
        '        (void)over;\n'),
    'a signature is of other shape inputs': (
        'lib/catalog/signature.c',
        '    if (shown && value->data) {\n',
        '    if (false) {\n'),
    'shape inputs above 64 bytes are hidden': (
        'lib/catalog/shown.c',
        '        if (!mmi_is_shown(&description->inputs[i])) {\n',
        '        if (!mmi_is_shown(&description->inputs[i]) || inputs[i].bytes > 64) {\n'),
    'a binding forgets the order of its outputs': (
        'lib/api/request.c',
        '            place = binding->outputs[i];\n',
        '            place = i;\n'),
    'a subset of outputs comes in the order of the model': (
        'lib/api/request.c',
        '            place = find_value(description->outputs, description->output_count, name);\n',
        '            place = i;\n'),
    # Operations whose handles are freed early.
    'an op that is freed early is not delivered': (
        'lib/work/op.c',
        'bool to_come = op->config.queue && !op->fetched;',
        'bool to_come = false;'),
    'who frees an op cancels it': (
        'lib/api/op.c',
        '        mmi_op_free(op);\n',
        '        mmi_op_cancel(op);\n        mmi_op_free(op);\n'),
    'the outputs of an op without a handle are dropped': (
        'lib/api/async.c',
        '#include <work/op.h>\n',
        '#include <work/op_state.h>\n',
        '        return;\n    }\n'
        '    if (status != MM_OK) {\n        mmi_count(&mesh->res.counters',
        '        return;\n    }\n'
        '    if (operation->op->detached) {\n'
        '        mm_response_free(operation->response);\n    }\n'
        '    if (status != MM_OK) {\n        mmi_count(&mesh->res.counters'),
    'a cancelled update goes on': (
        'lib/residency/pending.c',
        '        if (kind == MMI_WAIT_SWITCH) {\n',
        '        if (false) {\n'),
    # Temporary files.
    'weights that are mapped are not held': (
        'lib/residency/transfer.c',
        '    if (*mapped && mmi_artifact_is_temporary(instance->opened->artifact)) {\n',
        '    if (false) {\n'),
    'weights that were mapped stay held': (
        'lib/residency/instance.c',
        '    if (instance->holds_artifact) {\n',
        '    if (false) {\n'),
    'an extent begins in a gap that is too small': (
        'lib/artifact/temporary_file.c',
        'next->offset - extent->offset >= extent->bytes',
        'next->offset >= extent->offset'),
}


def copy_sources():
    os.makedirs(WORK, exist_ok=True)
    for name in ('lib', 'include', 'tests', 'scripts', 'docs', 'examples', 'bench'):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(COPY, name), dirs_exist_ok=True,
                        copy_function=copy_changed)
    for name in ('meson.build', 'meson_options.txt'):
        copy_changed(os.path.join(ROOT, name), os.path.join(COPY, name))


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def copy_changed(source, target):
    """Only what differs, so that little is built again."""
    if not os.path.exists(target) or read(source) != read(target):
        shutil.copyfile(source, target)


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def build():
    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        subprocess.run(['meson', 'setup', BUILD, COPY, '-Dbuildtype=release', '-Dexamples=false',
                        '-Dbench=false'], check=True, stdout=subprocess.DEVNULL)
    result = subprocess.run(['ninja', '-C', BUILD, 'tests/test-simulate'], capture_output=True,
                            text=True)
    if result.returncode:
        sys.exit(result.stdout[-3000:])


def failures(seeds):
    """The seeds that fail and how, one after the other."""
    process = subprocess.Popen([PROGRAM, '--list', '1', str(seeds)], stdout=subprocess.PIPE,
                               text=True)
    try:
        for line in process.stdout:
            seed, _, how = line.strip().partition(' ')
            if seed.isdigit() and ': ' in how:
                yield int(seed), how
    finally:
        process.kill()
        process.wait()


def try_one(name, seeds, known):
    path, *texts = MUTATIONS[name]
    path = os.path.join(COPY, path)
    sound = read(path).decode() if os.path.exists(path) else ''
    broken = sound
    for old, new in zip(texts[::2], texts[1::2]):
        if sound.count(old) != 1:
            return 'does not apply: its text is not there exactly once', False
        broken = broken.replace(old, new)
    write(path, broken)
    try:
        build()
        begun = time.monotonic()
        for seed, how in failures(seeds):
            if seed not in known:
                return f'seed {seed:6}  {time.monotonic() - begun:6.1f} s  {how}', True
        return f'NOT FOUND in {seeds} seeds', False
    finally:
        write(path, sound)


def main():
    arguments = sys.argv[1:]
    seeds = 20000
    if arguments[:1] == ['--seeds']:
        seeds = int(arguments[1])
        arguments = arguments[2:]
    copy_sources()
    build()
    known = {seed for seed, _ in failures(seeds)}
    if known:
        print(f'{len(known)} seeds fail without any mutation; they do not count')
    missed = 0
    for name in arguments or MUTATIONS:
        told, found = try_one(name, seeds, known)
        missed += not found
        print(f'{name:58}  {told}', flush=True)
    build()
    print(f'{len(arguments or MUTATIONS) - missed} found, {missed} not')
    sys.exit(missed > 0)


if __name__ == '__main__':
    main()
