"""What a lane does: put one question to this machine, and send back what it said.

Runs in a process of its own that may hang. Imports little: it is loaded before the nursery is forked.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

CHUNK = 1 << 16
MAX_FILES = 20_000
MAX_LINKS = 40
IS_FOLDER = "is a folder, not a file"
KILL_S = 0.3  # how long a killed command may take to vanish before it counts as one that cannot be ended
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


class Reply(NamedTuple):
    """A reply as it travels: see hosts.base.Answer. `files` is that of a tree: path -> (status, data, why)."""

    status: str
    data: bytes = b""
    stderr: bytes = b""
    exit: int | None = None
    why: str = ""
    seconds: float = 0.0
    at: float = 0.0
    left_pid: int = 0
    files: dict[str, tuple[str, bytes, str]] | None = None


def send(channel: socket.socket, message: bytes) -> None:
    """One message, its length first."""
    channel.sendall(len(message).to_bytes(8, "little") + message)


def receive(channel: socket.socket) -> bytes:
    """One message; raises EOFError when the other side has gone."""
    size = int.from_bytes(_exactly(channel, 8), "little")
    return _exactly(channel, size)


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def serve(questions: socket.socket) -> None:
    """Answer until the asker has gone."""
    while True:
        try:
            kind, *args = marshal.loads(receive(questions))
        except EOFError:
            return
        at, start = time.time(), time.monotonic()
        try:
            reply = _ANSWER[kind](questions, *args)
        except OSError as error:
            reply = _refusal(error)
        except Exception as error:
            reply = Reply("failed", why=f"{type(error).__name__}: {error}")
        send(questions, marshal.dumps(tuple(reply._replace(at=at, seconds=time.monotonic() - start))))


def _refusal(error: OSError) -> Reply:
    why = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV):
        return Reply("absent", why=why)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Reply("denied", why=why)
    return Reply("failed", why=why)


def _read(_: socket.socket, root: str, path: str, cap: int, seconds: float) -> Reply:
    return _content(_within(root, path), cap)


def _content(path: str, cap: int) -> Reply:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return _refusal(error)
    data = bytearray()
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            kind = "FIFO" if stat.S_ISFIFO(mode) else "special file"
            return Reply("failed", why=IS_FOLDER if stat.S_ISDIR(mode) else f"is a {kind}, not a file")
        while len(data) <= cap:
            part = os.read(fd, CHUNK)
            if not part:
                return Reply("ok", bytes(data))
            data += part
        return Reply("truncated", bytes(data[:cap]), why=f"cut at {cap} bytes")
    except BlockingIOError:
        return Reply("ok", bytes(data))
    except OSError as error:
        return _refusal(error)._replace(data=bytes(data))
    finally:
        os.close(fd)


def _link(_: socket.socket, root: str, path: str, seconds: float) -> Reply:
    folder, _slash, name = path.rpartition("/")
    return Reply("ok", os.fsencode(os.readlink(_within(root, folder or "/") + "/" + name)))


def _tree(_: socket.socket, root: str, pattern: str, cap: int, seconds: float) -> Reply:
    files: dict[str, tuple[str, bytes, str]] = {}
    refused: list[OSError] = []
    size = 0
    for path in _matches(root, "", pattern.strip("/").split("/"), refused):
        reply = _content(_within(root, path), cap)
        if reply.status == "absent" or reply.why == IS_FOLDER:
            continue
        files[path] = reply.status, reply.data, reply.why
        size += len(reply.data)
        if len(files) >= MAX_FILES or size > 16 * cap:
            return Reply("truncated", why=f"cut at {len(files)} files", files=files)
    return _refusal(refused[0])._replace(files=files) if refused else Reply("ok", files=files)


def _matches(root: str, folder: str, parts: list[str], refused: list[OSError]) -> Iterator[str]:
    """Paths below `folder` whose components match `parts`, sorted. Folders that may not be listed add to `refused`."""
    head, rest = parts[0], parts[1:]
    if not any(sign in head for sign in "*?["):
        names = [head]
    else:
        try:
            names = sorted(name for name in os.listdir(_within(root, folder or "/")) if fnmatchcase(name, head))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                refused.append(error)
            return
    for name in names:
        path = f"{folder}/{name}"
        if rest:
            yield from _matches(root, path, rest, refused)
        else:
            yield path


def _within(root: str, path: str) -> str:
    """The path below `root`, its symbolic links followed as if `root` were /."""
    if root == "/":
        return path
    done, todo, links = "", [part for part in path.split("/") if part], 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = done.rpartition("/")[0]
        elif part != ".":
            step = f"{done}/{part}"
            try:
                target = os.readlink(root + step)
            except OSError:
                done = step
                continue
            if (links := links + 1) > MAX_LINKS:
                raise OSError(errno.ELOOP, "too many symbolic links")
            if target.startswith("/"):
                done = ""
            todo[:0] = [part for part in target.split("/") if part]
    return root.rstrip("/") + (done or "/")


def _probe(_: socket.socket, root: str, name: str, args: tuple[str, ...], seconds: float) -> Reply:
    import json
    from importlib import import_module

    data = import_module(f"mlopsdoc.probes.{name}").read(root, *args)
    return Reply("ok", json.dumps(data, sort_keys=True).encode())


def find_tool(name: str) -> str | None:
    """The executable of that name on PATH, or in the folders that cron leaves out."""
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    for folder in (*os.environ.get("PATH", "").split(":"), *SBIN):
        path = f"{folder}/{name}"
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _run(questions: socket.socket, argv: tuple[str, ...], cap: int, seconds: float) -> Reply:
    tool = find_tool(argv[0])
    if tool is None:
        return Reply("absent", why=f"{argv[0]} is not installed")
    return _Command(tool, argv, cap).wait(questions, time.monotonic() + seconds, seconds)


def _noticed(_signal: int, _frame: object) -> None:
    """A child ended: the byte in the wake-up pipe is all that is wanted."""


class _Command:
    """A running command. Forked by hand: subprocess waits until exec is through, which may hang as well."""

    def __init__(self, tool: str, argv: tuple[str, ...], cap: int) -> None:
        self.cap = cap
        self.wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self.wake, False)
        self.old_wake = wake
        signal.signal(signal.SIGCHLD, _noticed)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        self.failed, failed = os.pipe()
        for fd in (self.out, self.err, self.failed):
            os.set_blocking(fd, False)
        self.pid = os.fork()
        if self.pid == 0:
            _become(tool, argv, out, err, failed)
        try:
            os.setpgid(self.pid, self.pid)  # here too, or a command killed at once would not be in its group yet
        except OSError:
            pass
        for fd in (out, err, failed):
            os.close(fd)
        self.output = {self.out: bytearray(), self.err: bytearray()}

    def wait(self, questions: socket.socket, until: float, seconds: float) -> Reply:
        poll = select.poll()
        for fd in (self.out, self.err, self.wake):
            poll.register(fd, select.POLLIN)
        poll.register(questions, select.POLLIN)  # nobody asks twice at once: readable means gone
        status = ""
        while not status and not self._ended():
            left = until - time.monotonic()
            if left <= 0:
                status = "timeout"
                break
            for fd, _ in poll.poll(left * 1000):
                if fd == questions.fileno():
                    self._kill()
                    os._exit(0)
                if fd == self.wake:
                    os.read(self.wake, CHUNK)
                elif not self._drain(fd):
                    poll.unregister(fd)
                elif len(self.output[fd]) > self.cap:
                    status = "truncated"
        return self._reply(status, seconds)

    def _reply(self, status: str, seconds: float) -> Reply:
        exit = self._kill()
        for fd in self.output:
            while len(self.output[fd]) <= self.cap and self._drain(fd, once=True):
                pass
        data, stderr = (bytes(self.output[fd][: self.cap]) for fd in (self.out, self.err))
        try:
            trouble = os.read(self.failed, 100).decode()
        except BlockingIOError:
            trouble = ""
        signal.set_wakeup_fd(-1)
        for fd in (self.out, self.err, self.failed, self.wake, self.old_wake):
            os.close(fd)
        if trouble:
            return Reply("failed", why=trouble)
        if status == "timeout":
            left = 0 if exit is not None else self.pid
            why = f"no answer within {seconds:.3g} s" + (f"; process {left} cannot be ended" if left else "")
            return Reply("timeout", data, stderr, why=why, left_pid=left)
        if status == "truncated":
            return Reply("truncated", data, stderr, why=f"cut at {self.cap} bytes")
        return Reply("failed" if exit else "ok", data, stderr, exit, why=f"exit code {exit}" if exit else "")

    def _drain(self, fd: int, once: bool = False) -> bool:
        """Take what a stream holds; False at its end (or, for the last drain, when it holds nothing)."""
        try:
            part = os.read(fd, CHUNK)
        except BlockingIOError:
            return not once
        self.output[fd] += part
        return bool(part)

    def _ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _kill(self) -> int | None:
        """End the whole group, what the command left behind too; its exit code, or None when it does not end."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        until = time.monotonic() + KILL_S
        while True:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(code)
            left = until - time.monotonic()
            if left <= 0:
                return None
            select.select([self.wake], [], [], left)
            try:
                os.read(self.wake, CHUNK)
            except BlockingIOError:
                pass


def _become(tool: str, argv: tuple[str, ...], out: int, err: int, failed: int) -> None:
    """In the child: turn into the command. Never returns."""
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LC_", "ZFS_", "ZPOOL_"))
        }
        os.execve(tool, argv, environment | {"LC_ALL": "C", "LANG": "C", "TZ": "UTC"})
    except OSError as error:
        os.write(failed, f"cannot be started: {error.strerror}".encode())
    finally:
        os._exit(127)


_ANSWER: dict[str, Any] = {"read": _read, "link": _link, "tree": _tree, "probe": _probe, "run": _run}
