# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one error contract: what a user can put right derives from `UserError`."""

from __future__ import annotations


class UserError(Exception):
    """Something that a user can put right.

    The message names the thing, its value and the remedy. The command line prints it and exits with
    status 2; the node puts it into a status or a service's answer. Any other exception is a bug.
    """
