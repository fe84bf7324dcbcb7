/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_JSON_H
#define MMCTL_JSON_H

/* Values of any kind as JSON, for those that .npy has no form for:
 *
 *     tensor    {"dtype": "f32", "shape": [2, 2], "data": [1, 2.5, "nan", "-inf"]}
 *     sequence  {"sequence": [value, ...]}
 *     optional  {"optional": null}, {"optional": value}
 *     map       {"map": [keys, values]}
 *
 * Data are the elements in their order: numbers, true and false, texts; of complex numbers two for
 * each; of other types than f32, f64, integers and bool their bits as a number. A byte that is no
 * UTF-8 is a lone surrogate, "\udc80" to "\udcff", as Python's surrogateescape has it. */

#include <modelmesh/modelmesh.h>

#include <stdbool.h>
#include <stdio.h>

/* The value's memory is malloc's: free_value. false: said why on stderr. */
bool read_json(const char *path, mm_value *value);
bool write_json(const char *path, const mm_value *value);
/* Quoted. exact: bytes that are no UTF-8 can be read back; else they are U+FFFD. */
void put_json_text(FILE *file, const char *text, uint64_t bytes, bool exact);

#endif
