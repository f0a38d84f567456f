# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fast DDS between processes of one machine: quick with images, and seen by no other machine."""

from __future__ import annotations

import os
from pathlib import Path

# Fast DDS 3, which came with ROS 2 Kilted, has other names. The old ones have not been tried.
_BEFORE_FAST_DDS_3 = ("humble", "iron", "jazzy")

# Shared memory that holds some images whole: by default they are cut up, and lost with a piece. The
# rest goes over the loopback interface. A small message is acknowledged when the writer next asks,
# by default every 3 s.
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>shared_memory</transport_id>
      <type>SHM</type>
      <segment_size>67108864</segment_size>
    </transport_descriptor>
    <transport_descriptor>
      <transport_id>loopback</transport_id>
      <type>UDPv4</type>
      <interfaceWhiteList>
        <address>127.0.0.1</address>
      </interfaceWhiteList>
    </transport_descriptor>
  </transport_descriptors>
  <participant profile_name="one_machine" is_default_profile="true">
    <rtps>
      <userTransports>
        <transport_id>shared_memory</transport_id>
        <transport_id>loopback</transport_id>
      </userTransports>
      <useBuiltinTransports>false</useBuiltinTransports>
    </rtps>
  </participant>
  <data_writer profile_name="asks_often" is_default_profile="true">
    <times>
      <{heartbeat}>
        <sec>0</sec>
        <nanosec>20000000</nanosec>
      </{heartbeat}>
    </times>
  </data_writer>
</profiles>
"""


def stay_on_this_machine(folder: Path) -> None:
    """Make Fast DDS do so in this process and its children, from the next ROS context on.

    A profile that the user has chosen already is left alone.

    Args:
        folder: where the profile is written.
    """
    old = os.environ.get("ROS_DISTRO") in _BEFORE_FAST_DDS_3
    path = folder / "fastdds.xml"
    path.write_text(_PROFILE.format(heartbeat="heartbeatPeriod" if old else "heartbeat_period"))
    variable = f"{'FASTRTPS' if old else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    os.environ.setdefault(variable, str(path.resolve()))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
