# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: how the node is doing, by diagnostic_updater where it is installed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.session import Session

_PERIOD = 1.0


@dataclass
class Health:
    """One entry of /diagnostics."""

    level: bytes
    message: str
    values: dict[str, str] = field(default_factory=dict)


FILTER_NAMES = {
    RelocalizationStatus.FILTER_OFF: "off",
    RelocalizationStatus.FILTER_INITIALIZING: "initializing",
    RelocalizationStatus.FILTER_LOCALIZED: "localized",
    RelocalizationStatus.FILTER_DEAD_RECKONING: "dead reckoning",
    RelocalizationStatus.FILTER_LOST: "lost",
}


class Diagnostics:
    """Looks at the node once a second.

    The entry is named `<node>: <fully qualified name of the node>`, as diagnostic_updater puts the
    node's name first: two robots' nodes stay apart.
    """

    def __init__(
        self, node: Host, session: Callable[[], Session | None], failure: Callable[[], str]
    ) -> None:
        """Begin to publish.

        Args:
            node: publishes.
            session: what is configured, if anything.
            failure: why the last transition failed; empty if it did not.
        """
        self._session = session
        self._failure = failure
        self._seen, self._localized, self._since = 0, 0, time.monotonic()
        self._last_success: float | None = None
        if importlib.util.find_spec("diagnostic_updater") is None:
            _publish_plainly(node, self.look)
        else:
            _publish_by_updater(node, self.look)

    def look(self) -> Health:
        """The node's health since the last look."""
        session = self._session()
        if session is None:
            failure = self._failure()
            if failure:
                return Health(DiagnosticStatus.ERROR, f"not configured: {failure}")
            return Health(DiagnosticStatus.WARN, "not configured")
        now, status = time.monotonic(), session.last_status
        seconds = max(now - self._since, 1e-3)
        seen, localized = session.worker.seen, session.localized
        # Counts start at 0 with each session.
        rate = max(seen - self._seen, 0) / seconds
        successes = max(localized - self._localized, 0) / seconds
        if successes:
            self._last_success = now
        self._seen, self._localized, self._since = seen, localized, now
        success = "never" if self._last_success is None else f"{now - self._last_success:.1f} s ago"
        values = {
            "images per second": f"{rate:.1f}",
            "localized per second": f"{successes:.1f}",
            "images seen": str(seen),
            "images dropped": str(session.worker.dropped),
            "last localized": success,
            "filter": FILTER_NAMES[status.filter_state],
            "driven since the last fix [m]": f"{status.distance_since_fix:.2f}",
            "scale of predicted points": str(session.relocalizer.scale),
            "keyframes": str(len(session.map)),
            "front end": session.map.front_end.name,
            "engine": status.engine or "none",
            **getattr(session.map.front_end, "details", {}),
            **{f"{s.stage} [ms]": f"{1e3 * s.seconds:.1f}" for s in status.latency},
            "total [ms]": f"{1e3 * status.total_seconds:.1f}",
        }
        return Health(*judge(session.inputs is not None, rate, status), values)


def judge(active: bool, rate: float, status: RelocalizationStatus) -> tuple[bytes, str]:
    """Level and message, from the images a second and the last status."""
    if not active:
        return DiagnosticStatus.OK, "inactive"
    if rate == 0:
        return DiagnosticStatus.WARN, "no images"
    if status.state in (RelocalizationStatus.STATE_BAD_INPUT, RelocalizationStatus.STATE_ERROR):
        return DiagnosticStatus.ERROR, status.reason
    if status.state != RelocalizationStatus.STATE_LOCALIZED:
        return DiagnosticStatus.WARN, status.reason
    return DiagnosticStatus.OK, status.reason or "localized"


def _publish_by_updater(node: Host, look: Callable[[], Health]) -> None:
    import diagnostic_updater

    def fill(entry: Any) -> Any:
        health = look()
        entry.summary(health.level, health.message)
        for key, value in health.values.items():
            entry.add(key, value)
        return entry

    updater = diagnostic_updater.Updater(node, period=_PERIOD)
    updater.setHardwareID("none")
    updater.add(node.get_fully_qualified_name(), fill)


def _publish_plainly(node: Host, look: Callable[[], Health]) -> None:
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)

    def publish() -> None:
        health = look()
        values = [KeyValue(key=key, value=value) for key, value in health.values.items()]
        entry = DiagnosticStatus(
            level=health.level,
            name=f"{node.get_name()}: {node.get_fully_qualified_name()}",
            message=health.message,
            hardware_id="none",
            values=values,
        )
        message = DiagnosticArray(status=[entry])
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)

    node.create_timer(_PERIOD, publish)
