#!/usr/bin/env bash
# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
set -eo pipefail
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /ws/install/setup.bash
exec "$@"
