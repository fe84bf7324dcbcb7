# SPDX-License-Identifier: Apache-2.0
"""All descriptions of operators, by being imported."""

import control  # noqa: F401
import elementwise  # noqa: F401
import microsoft  # noqa: F401
import microsoft_quantised  # noqa: F401
import movement  # noqa: F401
import neural  # noqa: F401
import quantised  # noqa: F401
import recurrent  # noqa: F401
import reductions  # noqa: F401
import texts  # noqa: F401
