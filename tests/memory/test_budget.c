/* SPDX-License-Identifier: Apache-2.0 */
#include <memory/budget.h>
#include <support/world.h>

static void test_charge(void **state) {
    (void)state;
    struct mmi_budget budget;
    mmi_budget_init(&budget, "description", 100);
    assert_string_equal(budget.name, "description");
    assert_int_equal(mmi_budget_left(&budget), 100);
    assert_int_equal(mmi_budget_charge(&budget, 60), MMI_CHARGE_OK);
    assert_int_equal(mmi_budget_charge(&budget, 41), MMI_CHARGE_OVER);
    assert_int_equal(budget.used_bytes, 60);
    assert_int_equal(mmi_budget_charge(&budget, 40), MMI_CHARGE_OK);
    assert_int_equal(mmi_budget_charge(&budget, 0), MMI_CHARGE_OK);
    assert_int_equal(mmi_budget_charge(&budget, 1), MMI_CHARGE_OVER);
    mmi_budget_return(&budget, 70);
    assert_int_equal(budget.used_bytes, 30);
    assert_int_equal(budget.peak_bytes, 100);
    assert_int_equal(mmi_budget_left(&budget), 70);
}

static void test_limit_moves(void **state) {
    (void)state;
    struct mmi_budget budget;
    mmi_budget_init(&budget, "artifacts", 100);
    assert_int_equal(mmi_budget_charge(&budget, 80), MMI_CHARGE_OK);
    mmi_budget_set_limit(&budget, 50);
    assert_int_equal(mmi_budget_left(&budget), 0);
    assert_int_equal(mmi_budget_charge(&budget, 1), MMI_CHARGE_OVER);
    assert_int_equal(mmi_budget_charge(&budget, 0), MMI_CHARGE_OK);
    mmi_budget_return(&budget, 40);
    assert_int_equal(mmi_budget_charge(&budget, 10), MMI_CHARGE_OK);
    assert_int_equal(mmi_budget_charge(&budget, 1), MMI_CHARGE_OVER);
}

static void test_no_limit(void **state) {
    (void)state;
    struct mmi_budget budget;
    mmi_budget_init(&budget, "none", UINT64_MAX);
    assert_int_equal(mmi_budget_charge(&budget, UINT64_MAX - 1), MMI_CHARGE_OK);
    assert_int_equal(mmi_budget_charge(&budget, 2), MMI_CHARGE_OVER);
    assert_int_equal(mmi_budget_charge(&budget, 1), MMI_CHARGE_OK);
    mmi_budget_return(&budget, UINT64_MAX);
    assert_int_equal(budget.used_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charge),
        cmocka_unit_test(test_limit_moves),
        cmocka_unit_test(test_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
