# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy allows what the node uses, and nothing else."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")
pytest.importorskip("bond.msg", reason="the package bond is not built here")

from ros_robot import Robot

pytestmark = pytest.mark.ros

_POLICY = Path(__file__).resolve().parent.parent / "config/sros2_policy.xml"


def _allowed(namespace: str) -> dict[str, set[str]]:
    """Names that each rule allows, as SROS2 expands them for a node in `namespace`."""
    (profile,) = ElementTree.parse(_POLICY).getroot().iter("profile")
    allowed: dict[str, set[str]] = {}
    for block in profile:
        ((rule, verdict),) = block.items()
        assert verdict == "ALLOW"
        for entry in block:
            name = str(entry.text)
            if name.startswith("~"):
                name = f"/{namespace}/{profile.get('node')}{name[1:]}"
            elif not name.startswith("/"):
                name = f"/{namespace}/{name}"
            allowed.setdefault(rule, set()).add(name)
    return allowed


def _used(**parameters) -> dict[str, set[str]]:
    """Names in the graph of a running, active node."""
    robot = Robot("policy", **parameters)
    try:
        name, namespace = "relocalizer", "/policy"
        graph = robot.node
        robot.wait(
            lambda: (
                "/policy/bond"
                in dict(graph.get_subscriber_names_and_types_by_node(name, namespace))
            ),
            "the bond's subscription",
        )
        return {
            "publish": set(dict(graph.get_publisher_names_and_types_by_node(name, namespace))),
            "subscribe": set(dict(graph.get_subscriber_names_and_types_by_node(name, namespace))),
            "reply": set(dict(graph.get_service_names_and_types_by_node(name, namespace))),
        }
    finally:
        robot.close()


def test_the_policy_allows_exactly_what_the_node_uses():
    raw = _used(tf_mode="map_odom")
    compressed = _used(image_transport="compressed", use_sim_time=True)
    used = {rule: raw[rule] | compressed[rule] for rule in raw}
    assert used == _allowed("policy")
