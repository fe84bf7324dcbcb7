/* SPDX-License-Identifier: Apache-2.0 */
#include "one_node.h"
int main(void) { return 0; }
