/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/store.h>

#include <string.h>

struct mmi_hash mmi_target_hash(const char *backend, const char *version, const char *layout,
                                const char *config) {
    const char *texts[] = {backend, version, layout, config};
    struct mmi_hash hashes[4];
    for (size_t i = 0; i < 4; i++) {
        const char *text = texts[i] ? texts[i] : "";
        hashes[i] = mmi_hash128(text, strlen(text));
    }
    return mmi_hash128(hashes, sizeof(hashes));
}
