"""Devices that come and go, as the kernel tells."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from mlopsdoc.probes import devices

EVENT = Path("/sys/class/net/lo/uevent")


@pytest.mark.skipif(not os.access(EVENT, os.W_OK), reason="only root may let the kernel say that a device has gone")
def test_a_device_that_goes_and_comes_is_one_event() -> None:
    heard: SimpleQueue[str] = SimpleQueue()

    def listen() -> None:
        for event in devices.changes():
            heard.put(event)

    threading.Thread(target=listen, daemon=True).start()
    for _ in range(20):  # until it listens
        EVENT.write_text("remove")
        EVENT.write_text("add")
        try:
            assert heard.get(timeout=2.0) == "remove lo"
            break
        except Empty:
            continue
    else:
        pytest.fail("no event was heard")
    with pytest.raises(Empty):
        heard.get(timeout=0.2)
