/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/images/library.h>
#include <base/status.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The first of its files that is there, kept for ever: threads and handlers of a library do not
 * like it to go. */
static void *open_file(const struct onnx_library *library) {
    void *object = NULL;
    for (size_t i = 0; i < 3 && library->files[i] && !object; i++) {
        object = dlopen(library->files[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    }
    return object;
}

mm_status mmi_onnx_open_library(const struct onnx_library *library, void *functions,
                                mm_error *err) {
    if (!library->functions) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "libmodelmesh was built without the headers of %s (Debian: %s)",
                        library->name, library->headers);
    }
    void *object = open_file(library);
    if (!object) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "%s is needed and %s cannot be opened: install it (Debian: %s)",
                        library->name, library->files[0], library->package);
    }
    const char *missing = NULL;
    for (size_t i = 0; library->functions[i] && !missing; i++) {
        void *function = dlsym(object, library->functions[i]);
        missing = function ? NULL : library->functions[i];
        memcpy((char *)functions + i * sizeof(function), &function, sizeof(function));
    }
    dlclose(object);
    return missing ? mmi_fail(err, MM_UNSUPPORTED, "%s has no %s: install a newer one (Debian: %s)",
                              library->name, missing, library->package)
                   : MM_OK;
}

void mmi_onnx_keep_message(char text[ONNX_MESSAGE_BYTES], const char *message) {
    if (text[0] != '\0') {
        return;
    }
    snprintf(text, ONNX_MESSAGE_BYTES, "%s", message);
    for (size_t end = strlen(text); end > 0 && strchr(" \r\n.", text[end - 1]); end--) {
        text[end - 1] = '\0';
    }
}
