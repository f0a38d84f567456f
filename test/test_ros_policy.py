# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy allows what the node uses, and nothing else."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")
pytest.importorskip("bond.msg", reason="the package bond is not built here")

from rclpy.node import NodeNameNonExistentError
from ros_robot import Robot

pytestmark = pytest.mark.ros

_STEADY = 20  # looks, 50 ms apart
_POLICY = Path(__file__).resolve().parent.parent / "config/sros2_policy.xml"


def _allowed(namespace: str) -> dict[str, set[str]]:
    """Names that each rule allows, as SROS2 expands them for a node in `namespace`."""
    policy = ElementTree.parse(_POLICY).getroot()
    assert (policy.tag, policy.attrib) == ("policy", {"version": "0.2.0"})
    (profile,) = policy.findall("./enclaves/enclave[@path='/relocalizer']/profiles/profile")
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
            if block.tag == "actions":  # what SROS2 makes of one
                parts = {
                    "publish": ("feedback", "status"),
                    "reply": ("send_goal", "cancel_goal", "get_result"),
                }
                for part, names in parts.items():
                    full = {f"{name}/_action/{each}" for each in names}
                    allowed.setdefault(part, set()).update(full)
            else:
                allowed.setdefault(rule, set()).add(name)
    return allowed


def _used(**parameters) -> dict[str, set[str]]:
    """Names in the graph of a running, active node, once they no longer change."""
    robot = Robot("policy", **parameters)
    seen: list[dict[str, set[str]]] = []

    def steady() -> dict[str, set[str]] | None:
        where = ("relocalizer", "/policy")
        try:
            found = {
                "publish": robot.node.get_publisher_names_and_types_by_node(*where),
                "subscribe": robot.node.get_subscriber_names_and_types_by_node(*where),
                "reply": robot.node.get_service_names_and_types_by_node(*where),
            }
        except NodeNameNonExistentError:  # not discovered yet
            return None
        seen.append({rule: {name for name, _ in entries} for rule, entries in found.items()})
        settled = len(seen) > _STEADY and all(names == seen[-1] for names in seen[-_STEADY:])
        return seen[-1] if settled and "/policy/bond" in seen[-1]["subscribe"] else None

    try:
        return robot.wait(steady, "steady graph")
    finally:
        robot.close()


def test_the_policy_allows_exactly_what_the_node_uses():
    raw = _used(tf_mode="map_odom")
    packed = _used(
        image_transport="compressed",
        depth_transport="compressedDepth",
        use_sim_time=True,
        odometry="topic",
    )
    allowed = _allowed("policy")
    for rule, names in allowed.items():
        used = raw[rule] | packed[rule]
        assert used - names == set(), f"{rule}: used, but not allowed"
        # Of newer ROS 2 alone.
        names -= {"/policy/relocalizer/get_type_description"}
        assert names - used == set(), f"{rule}: allowed, but not used"
    assert allowed.keys() == raw.keys()
