/* SPDX-License-Identifier: Apache-2.0 */
/* A held update goes on because what requests wait for is refused, while somebody waits for a
 * description: the version that was refused is gone then. */
#include "fixture.h"

#include <string.h>

#define SCRIPT "weights_bytes 64k\nseed 1\nversion held\n"

static mm_op *load(struct fixture *f, mm_model model) {
    mm_op *op = NULL;
    assert_ok(f, mm_load(f->mesh, model, NULL, &op, &f->err));
    return op;
}

static mm_status end_of(struct fixture *f, mm_op *op) {
    mm_status status = mm_op_wait(op, 0, &f->err);
    mm_op_free(op);
    return status;
}

static mm_op *update(struct fixture *f, mm_model model, uint32_t limit) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    mm_op *op = NULL;
    spec.max_concurrency = limit;
    assert_ok(f, mm_update(f->mesh, model, &spec, 0, NULL, &op, &f->err));
    return op;
}

static mm_model gated(struct fixture *f, struct gate *gate, const char *name, const char *script) {
    mm_model_spec spec = fixture_spec(f, name, "gated", script);
    gate_shut(f, gate, MMI_ECHO_PREPARE, name);
    return fixture_register(f, &spec);
}

/* One thread prepares: first, the model, second, and then its source is looked at. */
static void test_a_refused_version_is_not_prepared_again(void **state) {
    (void)state;
    struct fixture f;
    struct gate first = {0}, second = {0};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.description_budget_bytes = 1;
    options.prepare_threads = 1;
    fixture_open(&f, &options);
    mm_model before = gated(&f, &first, "first", "weights_bytes 64k\nversion first\n");
    mm_model between = gated(&f, &second, "second", "weights_bytes 64k\nversion second\n");
    mm_model_spec spec = fixture_spec(&f, "held", "echo", SCRIPT);
    spec.source_changes = MM_CHANGES_REFUSE;
    mm_model model = fixture_register(&f, &spec);
    mm_op *of_first = load(&f, before);
    gate_wait_arrived(&first, 1);
    mm_op *waits = load(&f, model);
    mm_op *updates[3];
    for (uint32_t i = 0; i < 3; i++) {
        updates[i] = update(&f, model, i + 1);
    }
    mm_op *of_second = load(&f, between);
    gate_open(&first);
    gate_wait_arrived(&second, 1); /* the model is prepared, the look is queued */
    char *seed = strstr((char *)(uintptr_t)spec.data, "seed 1");
    assert_non_null(seed);
    seed[5] = '2';
    mm_op *describes = NULL;
    assert_ok(&f, mm_prepare(f.mesh, model, NULL, &describes, &f.err));
    gate_open(&second);
    end_of(&f, waits);
    end_of(&f, describes);
    for (uint32_t i = 0; i < 3; i++) {
        end_of(&f, updates[i]);
    }
    assert_ok(&f, end_of(&f, of_first));
    assert_ok(&f, end_of(&f, of_second));
    assert_int_equal(fixture_info(&f, model).updating, 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_version_is_not_prepared_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
