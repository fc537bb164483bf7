"""The machine that an answer is of, in a text that may have several: by prompts, by ssh, by the name of a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlopsdoc.hosts.base import split, words
from mlopsdoc.hosts.merged import short_name
from mlopsdoc.hosts.pasted.commands import CONTAINER


class Where(NamedTuple):
    """The machine of an answer. name is empty where no prompt tells it. container: as in ``pod job-0``."""

    name: str = ""
    container: str = ""


HERE = Where()
HERE_TOO = ("container", "root", "namespace", "network namespace")  # places on the host itself; a pod may be anywhere
# What may be asked on the way to a host, or of a whole cluster, without being evidence of the machine it is typed at.
BYSTANDERS = (
    "date", "hostname", "uname", "uptime", "whoami", "id", "pwd", "ls", "text", "job", "env", "sinfo", "squeue",
    "scontrol", "sacct", "kubectl", "ping", "docker", "history",
)  # fmt: skip


def is_evidence(key: str) -> bool:
    """Whether an answer tells of the machine that gave it."""
    kind, _, rest = key.partition(" ")
    return rest.partition(" ")[0] not in BYSTANDERS if kind == "run" else not rest.startswith(("/etc/", "/proc/sys/"))


def different(found: Sequence[Where], typed_at: set[str]) -> list[Where]:
    """The hosts among places, each once, whatever their domain. One without a name is that of the only prompts."""
    by_name: dict[str, Where] = {}
    for where in found:
        by_name.setdefault(short_name(where.name), where)
    if "" in by_name and len(by_name) > 1 and typed_at:
        del by_name[""]
    return list(by_name.values())


def is_one(name: str, other: str) -> bool:
    """Whether two names may be those of one host."""
    return not name or not other or short_name(name) == short_name(other)


def keys_of(where: Where, main: Where, key: str) -> Iterator[str]:
    """The keys of an answer, by where it was given: another host's and a container's are no answers of this host."""
    asked = split(key.removeprefix("run ")) if key.startswith("run ") else ("cat", key.partition(" ")[2])
    if where.container and where.container != main.container:
        yield "run " + words((*CONTAINER, *asked))
    elif main.container and not where.container and is_evidence(key):
        yield key
    elif where.name and main.name and short_name(where.name) != short_name(main.name):
        yield "run " + words(("ssh", where.name, *asked))
    elif main.container and not where.container:
        yield "run " + words(("ssh", where.name or "host", *asked))
    else:
        yield key
