"""File systems that people and jobs write to: what is left of them, and those that turned read-only."""

from __future__ import annotations

from typing import Any

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts import df
from mlopsdoc.facts.asked import kernel_line
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.machine import Machine
from mlopsdoc.hosts.base import Answer
from mlopsdoc.model import mount_subject

LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "bcachefs", "overlay")
ON_ERROR_READ_ONLY = ("ext2", "ext3", "ext4", "btrfs", "f2fs", "jfs", "reiserfs", "bcachefs", "xfs")
NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "beegfs", "gpfs", "wekafs", "glusterfs", "fuse.glusterfs",
    "fuse.ceph-fuse", "fuse.juicefs",
)  # fmt: skip
MEMORY_MOUNTS = ("/dev/shm", "/tmp", "/run", "/var/tmp")
# Below these are system's own mounts, images, and those of single containers: what they lie on is judged itself.
PASSED_OVER = (
    "/proc/", "/sys/", "/dev/", "/run/", "/etc/", "/snap/", "/var/snap/", "/var/lib/snapd/", "/boot/efi",
    "/var/lib/docker/", "/var/lib/containers/", "/var/lib/containerd/", "/var/lib/kubelet/", "/var/lib/lxd/",
    "/media/", "/usr/lib/wsl/", "/mnt/wslg/",
)  # fmt: skip
MAX_ASKED = 512
ALWAYS_WRITTEN = ("/var", "/var/log", "/tmp", "/home")


class Mount(Fact, frozen=True):
    """One line of mountinfo. is_ro: this mount is; is_super_ro: the file system itself is, by its own options."""

    device: str
    root: str
    path: str
    source: str
    kind: str
    is_ro: bool
    is_super_ro: bool
    has_upper: bool
    line: Line


class Space(Fact, frozen=True):
    """Bytes and inodes. free: not used; available: of those, what is not kept for root. inodes 0: no such limit."""

    size: int
    free: int
    available: int
    inodes: int
    inodes_free: int

    @property
    def available_percent(self) -> float:
        """As df counts: of what users can fill."""
        fillable = self.size - self.free + self.available
        return 100.0 * self.available / fillable if fillable > 0 else 100.0

    @property
    def inodes_free_percent(self) -> float:
        return 100.0 * self.inodes_free / self.inodes if self.inodes > 0 else 100.0


class FileSystem(Fact, frozen=True):
    """One file system, judged once wherever it is mounted. space is None when read-only or `unseen` says why; hangs:
    its server does not answer.

    turned_read_only: why this cannot be meant, or empty. printed: room left as df wrote it, or empty.
    """

    mount: Mount
    is_network: bool
    turned_read_only: str
    space: Space | None
    unseen: str
    line: Line
    hangs: bool = False
    printed: str = ""

    @property
    def subject(self) -> str:
        return mount_subject(self.mount.path)

    def command(self, start: str) -> str:
        """A command on this mount, as one may type it; with "$MOUNT" in place of a path that would need quoting."""
        path = self.mount.path
        is_plain = path.isascii() and all(char.isalnum() or char in "/._-" for char in path)
        return f"{start} " + (path if is_plain else '"$MOUNT"')

    @property
    def params(self) -> dict[str, str]:
        disk = {"DISK": self.mount.source} if self.mount.source.startswith("/dev/") else {}
        return {"MOUNT": self.mount.path} | disk


class FileSystems(Fact, frozen=True):
    """The file systems that matter: block devices, a container's overlay, network ones, and tmpfs at /dev/shm,
    /tmp and /run. Not images (squashfs, iso9660, loop devices), removable media, and ZFS, whose pools have a
    check of their own; nor mounts that are read-only on purpose.

    From /proc/1/mountinfo, for a service with ProtectSystem= sees everything read-only in its own; in a
    container from /proc/self/mountinfo, for with the host's pids process 1 is in another world. What follows
    ``-`` is the file system's own: it is ``ro`` there alone when the kernel turned it so after an error::

        29 1 9:127 / / rw,relatime shared:1 - ext4 /dev/md127 rw,errors=remount-ro

    Recordings of other people may have `mount` and `df` instead. gap: what may be missing in `all`, or empty.
    doubt: why it is not known whether all can be written to, or empty.
    """

    all: tuple[FileSystem, ...]
    gap: str = ""
    doubt: str = ""

    @classmethod
    def read(cls, host: Host, machine: Machine) -> FileSystems:
        """Raises NothingHere when no such file system is mounted, CannotSee when the mounts cannot be read."""
        fstab = {} if machine.container else _fstab(host.read("/etc/fstab").text)
        mounts, gap = _mounts(host, bool(machine.container))
        found: list[FileSystem] = []
        asked: list[Mount] = []
        dead: dict[str, str] = {}
        for mount in _once_each(mounts):
            if turned := _turned_read_only(mount, fstab):
                found.append(FileSystem(mount, False, turned, None, "", mount.line))
            elif not mount.is_ro and not mount.is_super_ro:
                asked.append(mount)
        found += [_asked(host, mount, dead) for mount in asked[:MAX_ASKED]]
        if left := asked[MAX_ASKED:]:
            more = f"{len(left)} of {len(asked)} file systems were not judged, the first of them is {left[0].path}"
            gap = f"{gap}; {more}" if gap else more
        if counted := [fs for fs in found if fs.space and not fs.space.size and fs.space.inodes]:
            more = f"of {len(counted)} file systems only the inodes were asked for, the room is not known"
            gap = f"{gap}; {more}" if gap else more
        if not found and not gap:
            raise NothingHere("no file system that is written to, but for ZFS, images and the system's own")
        return cls(tuple(found), gap, _doubt(host, mounts))


def _asked(host: Host, mount: Mount, dead: dict[str, str]) -> FileSystem:
    """What statvfs says. A server that did not answer is not asked again: each time would cost the deadline."""
    is_network = mount.kind in NETWORK
    server = mount.source.rpartition(":")[0] if is_network else ""
    if server and server in dead:
        why = f"not asked: {server} did not answer for {dead[server]}"
        return FileSystem(mount, True, "", None, why, mount.line, hangs=True)
    answer = host.probe("filesystem", mount.path)
    if answer.status == "not_captured" and (printed := _printed(host, mount, is_network)):
        return printed
    space, why = _space(answer, mount)
    if server and answer.status == "timeout":
        dead[server] = mount.path
    line = Line(answer.key, f"{space.available} of {space.size} bytes available" if space else why)
    return FileSystem(mount, is_network, "", space, why, line, hangs=is_network and answer.status == "timeout")


def _space(answer: Answer, mount: Mount) -> tuple[Space | None, str]:
    """What the probe said, or why not.

    A process in a mount namespace of its own may see another file system at that place, by its device. (The
    subvolumes of btrfs have devices that mountinfo does not tell.)
    """
    if not answer.said:
        return None, answer.why or answer.status
    try:
        said: dict[str, Any] = answer.json()
        space = Space(*(max(0, int(said[name])) for name in Space.__struct_fields__))
        device = str(said.get("device", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "its answer could not be understood"
    if mount.device and device and device != mount.device and mount.kind not in ("btrfs", "bcachefs", "overlay"):
        return None, "this process sees another file system there (ProtectHome= or a namespace of its own)"
    if mount.path == "/" and not space.size:
        return None, "its size is said to be 0"
    return space, ""


def _printed(host: Host, mount: Mount, is_network: bool) -> FileSystem | None:
    """What df printed about it, in a recording that is not ours."""
    said = df.read(host)
    room, files = said.room.get(mount.path), said.inodes.get(mount.path)
    if room is None and files is None:
        return None
    size, free, left = (room.whole, room.whole - room.used, room.left) if room else (0, 0, 0)
    inodes, inodes_free = (files.whole, files.left) if files else (0, 0)
    found = room or files
    return FileSystem(
        mount,
        is_network,
        "",
        Space(size, max(free, left), left, inodes, inodes_free),
        "",
        found.line if found else mount.line,
        printed=room.printed if room else "",
    )


def _of_df(row: df.Row) -> Mount:
    """A mount that only df tells; of a block device whose kind it did not print, ext4 is as good as any."""
    kind = row.kind or ("tmpfs" if row.source in ("tmpfs", "shm") else "nfs" if ":/" in row.source else "")
    kind = kind or ("ext4" if row.source.startswith("/dev/") else row.source)
    return Mount("", "/", row.path, row.source, kind, False, False, True, row.line)


def _mounts(host: Host, is_container: bool) -> tuple[list[Mount], str]:
    """The mounts of the first table that has any, and what may be missing of them.

    Every Linux has mounts, so a host without a table is not seen; only a recording may never have been asked.
    """
    answers: list[Answer] = []
    for path in ("/proc/1/mountinfo", "/proc/self/mountinfo", "/proc/mounts")[is_container:]:
        answers.append(answer := host.read(path))
        read = _of_mounts if path == "/proc/mounts" else _of_mountinfo
        if mounts := [m for line in (whole_lines(answer) if answer.said else ()) if (m := read(answer, line))]:
            return mounts, _gap(answer, mounts)
    if not host.is_live and (printed := _pasted(host)):
        return printed
    seen = next((answer for answer in answers if answer.status not in ("absent", "not_captured")), None)
    if seen is None and any(answer.status == "not_captured" for answer in answers):
        raise NothingHere("which file systems are mounted is not in this recording")
    seen = seen or answers[0]
    why = "no line of it can be understood" if seen.said else seen.why or seen.status
    raise CannotSee(f"which file systems are mounted: {seen.key.partition(' ')[2]}: {why}")


def _pasted(host: Host) -> tuple[list[Mount], str] | None:
    """What `mount` and `df` printed; None where nobody asked them. Raises CannotSee: nothing of it can be read."""
    answer, said = host.run("mount"), df.read(host)
    mounts = {m.path: m for line in (whole_lines(answer) if answer.said else ()) if (m := _of_mount(answer, line))}
    gap = "" if said.room or said.inodes or not mounts else _gap(answer, list(mounts.values()))
    mounts |= {path: _of_df(row) for path, row in (said.inodes | said.room).items() if path not in mounts}
    if not mounts and (said.was_asked or answer.said):
        raise CannotSee(f"the file systems: nothing that {'df' if said.was_asked else 'mount'} printed can be read")
    return (list(mounts.values()), said.gap or gap) if mounts else None


def _doubt(host: Host, mounts: list[Mount]) -> str:
    """Why some file system may be read-only without that being known: only df tells of it, or fstab is missing."""
    if host.is_live:
        return ""
    pasted = (m for m in mounts if m.line.answer == "run mount" and m.is_ro and m.path not in ALWAYS_WRITTEN)
    if read_only := [m.path for m in pasted if _matters(m) and m.kind in ON_ERROR_READ_ONLY]:
        return f"{read_only[0]} is read-only, and whether that is meant is not in this recording"
    if any(m.line.answer.startswith("run df") and _matters(m) for m in mounts):
        line = kernel_line(host, b"emounting filesystem read-only", b"forced readonly", b"metadata I/O error")
        more = f"; the kernel says: {line[:160]}" if line else ""
        return f"df does not tell whether file systems can be written to: that is not in this recording{more}"
    return ""


def _of_mount(answer: Answer, line: str) -> Mount | None:
    """A mount of ``/dev/md1 on /var type ext4 (ro,relatime)``, as `mount` prints it."""
    source, on, rest = line.partition(" on /")
    path, _, rest = rest.rpartition(" type ")
    kind, _, options = rest.partition(" (")
    if not on or not kind or " " in kind or ")" not in options:
        return None
    is_ro = "ro" in options.partition(")")[0].split(",")
    return Mount("", "/", f"/{path}", source.strip(), kind, is_ro, is_ro, True, Line(answer.key, line.strip()))


def _gap(answer: Answer, mounts: list[Mount]) -> str:
    if answer.status == "truncated":
        return "only a part of the table of mounts could be read: what is not in it was not judged"
    if all(mount.path != "/" for mount in mounts):
        return "the table of mounts has no root file system in it, so it is not whole: others may be missing too"
    return ""


def _of_mountinfo(answer: Answer, line: str) -> Mount | None:
    """A mount of ``29 1 9:127 / /var rw,relatime shared:1 - ext4 /dev/md127 rw,errors=remount-ro``."""
    left, dash, right = line.partition(" - ")
    here, there = left.split(" "), right.split(" ")
    if not dash or len(here) < 6 or len(there) < 3:
        return None
    device, root, path, options = here[2], unescaped(here[3]), unescaped(here[4]), here[5].split(",")
    own = there[2].split(",")
    is_super_ro = not {"ro", "emergency_ro", "shutdown"}.isdisjoint(own)
    has_upper = there[0] != "overlay" or any(option.startswith("upperdir=") for option in own)
    quote = Line(answer.key, line)
    return Mount(device, root, path, unescaped(there[1]), there[0], "ro" in options, is_super_ro, has_upper, quote)


def _of_mounts(answer: Answer, line: str) -> Mount | None:
    """A mount of ``/dev/md127 /var ext4 rw,relatime,errors=remount-ro 0 0``; its devices are not told."""
    words = line.split(" ")
    if len(words) < 4 or not words[1].startswith("/"):
        return None
    options = words[3].split(",")
    is_ro = "ro" in options
    return Mount(
        "", "/", unescaped(words[1]), unescaped(words[0]), words[2], is_ro, is_ro, True, Line(answer.key, line)
    )


def unescaped(text: str) -> str:
    r"""``/mnt/my data`` of ``/mnt/my\040data``: the kernel writes space, tab, newline and backslash in octal."""
    first, *parts = text.split("\\")
    for part in parts:
        code = part[:3]
        is_octal = len(code) == 3 and all(digit in "01234567" for digit in code) and code < "200"
        first += chr(int(code, 8)) + part[3:] if is_octal else "\\" + part
    return first


def _once_each(mounts: list[Mount]) -> list[Mount]:
    """Those that matter, each file system once: where it can be written, at its own root rather than a
    bind mount, then at the shortest path.

    Local ones come first, for network ones may take long.
    """
    on_top = {mount.path: mount for mount in mounts}  # of several at one place the last covers the others
    best: dict[str, Mount] = {}
    for mount in filter(_matters, on_top.values()):
        key = mount.device or mount.source
        known = best.get(key)
        if known is None or _rank(mount) < _rank(known):
            best[key] = mount
    return sorted(best.values(), key=lambda mount: (mount.kind in NETWORK, mount.path))


def _rank(mount: Mount) -> tuple[bool, bool, int]:
    return mount.is_ro, mount.root != "/", len(mount.path)


def _matters(mount: Mount) -> bool:
    if mount.kind == "tmpfs":
        return mount.path in MEMORY_MOUNTS
    passed_over = mount.path.startswith(PASSED_OVER) or mount.source.startswith("/dev/loop") or not mount.has_upper
    return mount.kind in LOCAL + NETWORK and not passed_over


def _fstab(text: str) -> dict[str, list[str]]:
    """Options by mount point of ``UUID=0c3d... /var ext4 defaults,errors=remount-ro 0 2``, those mounted at boot."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and not words[0].startswith("#") and "noauto" not in (options := words[3].split(",")):
            found[unescaped(words[1])] = options
    return found


def _turned_read_only(mount: Mount, fstab: dict[str, list[str]]) -> str:
    if mount.kind not in ON_ERROR_READ_ONLY or not mount.is_super_ro:
        return ""
    if not mount.is_ro:
        return "the kernel turned it so after an error"
    wanted = fstab.get(mount.path)
    if mount.line.answer == "run mount" and mount.path in ALWAYS_WRITTEN:
        return "a system that works writes there"
    return "/etc/fstab wants it writable" if wanted is not None and "ro" not in wanted else ""
