# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's executor, while what it waits for is destroyed."""

import contextlib
import random
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.waitable import NumberOfEntities, Waitable
from std_msgs.msg import String

from mast3r_ros.ros.executor import Executor

pytestmark = pytest.mark.ros


class _Gone(Waitable):
    """A QoS event whose subscription is destroyed while it is added; the second time, it is not."""

    def __init__(self, group):
        super().__init__(group)
        self.asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def is_ready(self, _):
        return False

    def take_data(self):
        return None

    async def execute(self, _):
        pass

    def get_num_entities(self):
        return NumberOfEntities()

    def add_to_wait_set(self, _):
        self.asked += 1
        if self.asked == 1:
            raise InvalidHandle("cannot use Destroyable because destruction was requested")


@pytest.fixture
def node():
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("waiting", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def eager_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_what_is_gone_is_left_out(node):
    executor = Executor(2, context=node.context)
    executor.add_node(node)
    gone = _Gone(node.default_callback_group)
    node.add_waitable(gone)

    executor.spin_once(timeout_sec=0.1)

    assert gone.asked >= 2
    executor.shutdown()


def test_an_invalid_handle_in_a_callback_is_not_hidden(node):
    executor = Executor(2, context=node.context)
    executor.add_node(node)
    publisher = node.create_publisher(String, "text", 1)
    publisher.destroy()
    task = executor.create_task(lambda: publisher.publish(String()))

    with contextlib.suppress(InvalidHandle):  # newer ROS 2 raises it here, too
        executor.spin_once(timeout_sec=1.0)

    with pytest.raises(InvalidHandle):
        task.result()
    executor.shutdown(timeout_sec=1.0)


@pytest.mark.parametrize("kind", ["publisher", "subscription"])
def test_what_is_waited_for_may_come_and_go_in_another_thread(node, kind, eager_threads):
    executor = Executor(2, context=node.context)
    executor.add_node(node)
    make, destroy = {
        "publisher": (lambda: node.create_publisher(String, "text", 1), node.destroy_publisher),
        "subscription": (
            lambda: node.create_subscription(String, "text", print, 1),
            node.destroy_subscription,
        ),
    }[kind]
    # Much to list, often, and threads that take turns within the list: rclpy's own executor fails.
    for i in range(30):
        node.create_publisher(String, f"other_{i}", 1)
    node.create_timer(1e-4, lambda: None)
    ended = threading.Event()
    moments = random.Random(0)

    def change() -> None:
        for _ in range(200):
            made = make()
            # Time for the executor to begin listing what it waits for, this among it.
            time.sleep(moments.uniform(0.0, 1e-3))
            destroy(made)
        ended.set()

    thread = threading.Thread(target=change)
    thread.start()
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.01)
    thread.join()
    executor.shutdown()
