/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_NPY_H
#define MMCTL_NPY_H

/* numpy's .npy files (format 1.0 and 2.0, little endian, C order) as tensor values.
 *
 * Strings are numpy U or S. Element types that numpy lacks are unsigned integers of the same width:
 * bf16 u16, fp8 u8; 4- and 2-bit types have one value a byte in the file and are packed here. The
 * element type comes from the model. */

#include <modelmesh/modelmesh.h>

#include <stdbool.h>

/* dtype: what the model wants. The value's memory is malloc's: free_value. false: said why on
 * stderr. */
bool read_npy(const char *path, int32_t dtype, mm_value *value);
bool write_npy(const char *path, const mm_value *value);
void free_value(mm_value *value);

#endif
