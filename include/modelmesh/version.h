/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODELMESH_VERSION_H
#define MODELMESH_VERSION_H

/* The release. The build reads these numbers; nothing else states them. */
#define MM_VERSION_MAJOR 0
#define MM_VERSION_MINOR 1
#define MM_VERSION_PATCH 0
#define MM_VERSION_TEXT "0.1.0"

/* The ABI of modelmesh.h. MAJOR is the soname: it changes when a program linked against an older
 * library would break. MINOR grows when something is appended. Below release 1.0 nothing is
 * frozen. */
#define MM_ABI_MAJOR 0
#define MM_ABI_MINOR 2

/* The ABI of backend.h, numbered apart. A backend is accepted when its major equals the library's
 * and its minor is not above the library's. */
#define MM_BACKEND_ABI_MAJOR 1
#define MM_BACKEND_ABI_MINOR 2

#endif
