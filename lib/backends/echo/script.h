/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ECHO_SCRIPT_H
#define MMI_BACKENDS_ECHO_SCRIPT_H

/* A model of the echo backend, read. The keys are explained in echo.h. */

#include <modelmesh/backend.h>

/* X(key, value when the line is missing) */
#define MMI_ECHO_NUMBERS(X)                                                                        \
    X(weights_bytes, 0)                                                                            \
    X(groups, 1)                                                                                   \
    X(seed, 0)                                                                                     \
    X(check, 1)                                                                                    \
    X(activation_bytes, 0)                                                                         \
    X(activation_per_element, 0)                                                                   \
    X(scratch_more, 0)                                                                             \
    X(through_device, 0)                                                                           \
    X(own_bytes, 0)                                                                                \
    X(leak_bytes, 0)                                                                               \
    X(prepare_ns, 0)                                                                               \
    X(open_ns, 0)                                                                                  \
    X(attach_ns, 0)                                                                                \
    X(infer_ns, 0)                                                                                 \
    X(serial, 0)

enum mmi_echo_io {
    MMI_ECHO_TENSOR,
    MMI_ECHO_STRING,
    MMI_ECHO_SEQUENCE,
    MMI_ECHO_MAP,
    MMI_ECHO_OPTIONAL,
    MMI_ECHO_TWO,
    MMI_ECHO_REPEAT,
    MMI_ECHO_IOS
};

enum mmi_echo_step {
    MMI_ECHO_FAIL_PREPARE,
    MMI_ECHO_FAIL_OPEN,
    MMI_ECHO_FAIL_ATTACH,
    MMI_ECHO_FAIL_INFER,
    MMI_ECHO_STEPS
};

#define MMI_ECHO_MAGIC_BYTES 6 /* "echo1\n" */
#define MMI_ECHO_SCRIPT_BYTES 4096
#define MMI_ECHO_ALWAYS UINT64_MAX

struct mmi_echo_script {
#define MMI_ECHO_MEMBER(key, fallback) uint64_t key;
    MMI_ECHO_NUMBERS(MMI_ECHO_MEMBER)
#undef MMI_ECHO_MEMBER
    enum mmi_echo_io io;
    int32_t dtype;     /* mm_dtype */
    uint8_t exactness; /* MM_SIZE_* */
    struct {
        uint64_t calls; /* so many fail; MMI_ECHO_ALWAYS */
        int32_t status;
    } fail[MMI_ECHO_STEPS];
    char version[64];
};

/* `bytes` of text without its magic line; messages call it `name`. MM_INVALID_MODEL with the
 * line. */
mm_status mmi_echo_parse(const char *text, size_t bytes, const char *name,
                         struct mmi_echo_script *script, mm_error *err);
/* The canonical text, equal for scripts that mean the same; returns its length. */
size_t mmi_echo_print(const struct mmi_echo_script *script, char text[MMI_ECHO_SCRIPT_BYTES]);

#endif
