"""How much of one file system is left. One mount a question, for statvfs on a dead NFS server never returns."""

from __future__ import annotations

import os


def read(root: str, mount: str) -> dict[str, int | str]:
    """statvfs of the mount point, in bytes and inodes, and the device it lies on (``259:2``).

    free: bytes not used; available: of those, what is not kept for root. Raises OSError.
    """
    path = root.rstrip("/") + mount
    space = os.statvfs(path)
    device = os.stat(path).st_dev
    return {
        "size": space.f_blocks * space.f_frsize,
        "free": space.f_bfree * space.f_frsize,
        "available": space.f_bavail * space.f_frsize,
        "inodes": space.f_files,
        "inodes_free": space.f_ffree,
        "flags": space.f_flag,
        "device": f"{os.major(device)}:{os.minor(device)}",
    }
