/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/registry.h>

/* One line here and one in lib/meson.build make a backend a built-in. */
extern const mm_backend mmi_backend_null;
extern const mm_backend mmi_backend_echo;
extern const mm_backend mmi_backend_echo_nested;
extern const mm_backend mmi_backend_echo_own;
extern const mm_backend mmi_backend_echo_device;
extern const mm_backend mmi_backend_onnx;

const mm_backend *const mmi_builtin_backends[] = {
    &mmi_backend_null,
    &mmi_backend_echo,
    &mmi_backend_echo_nested,
    &mmi_backend_echo_own,
    &mmi_backend_echo_device,
    &mmi_backend_onnx,
    NULL,
};
