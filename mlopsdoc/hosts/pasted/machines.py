"""The machine that an answer is of, in a text that may have several: by prompts, by ssh, by the name of a container."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlopsdoc.hosts.base import split, words
from mlopsdoc.hosts.merged import Differ, short_name
from mlopsdoc.hosts.pasted.commands import CONTAINER
from mlopsdoc.hosts.pasted.places import SHELLS, Placed
from mlopsdoc.hosts.pasted.prompts import Prompt


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


def key_of(where: Where, main: Where, key: str) -> str:
    """The key of an answer, by where it was given: another host's and a container's are no answers of this host."""
    asked = split(key.removeprefix("run ")) if key.startswith("run ") else ("cat", key.partition(" ")[2])
    if where.container and where.container != main.container:
        return "run " + words((*CONTAINER, *asked))
    is_outside = bool(main.container) and not where.container
    if not (is_outside and is_evidence(key)) and (is_outside or not is_one(where.name, main.name)):
        return "run " + words(("ssh", where.name or "host", *asked))
    return key


class Whereabouts:
    """Where one is, as prompts, `ssh` and `exec` tell it. names: of hosts, by their prompts."""

    def __init__(self) -> None:
        self.here = HERE
        self.names: dict[str, None] = {}
        self._entered: list[Where] = []  # where one came from, of each ssh or exec that opened a shell

    def arrive(self, prompt: Prompt) -> None:
        """Where a prompt stands: one without a name where the last one stood."""
        name = prompt.host if re.search(r"[A-Za-z]", prompt.host) else ""
        while name and self._entered and self._entered[-1].name == name:
            self.here = self._entered.pop()  # it has come back
        if re.search(r"container|docker|\bpod\b", prompt.label) is not None:
            self.here = Where(name, self.here.container or "container")
        elif re.search(r"\(container\)|\(pod\)|^container$", self.here.container) or (name and not self.here.container):
            self.here = Where(name)  # the label has gone
        if name and not self.here.container:
            self.names[name] = None

    def enter(self, placed: Placed) -> None:
        """Follow ``ssh gpu-17``, ``kubectl exec -it job-0 -- bash`` and ``exit`` to where the next prompt stands."""
        argv, there = placed.words, None
        if argv[:1] == ("ssh",) and placed.target:
            there = Where(placed.target)
        elif placed.container.startswith("step of"):
            return  # the next prompt names the node
        elif placed.container and argv and argv[0].rpartition("/")[2] in SHELLS and "-c" not in argv:
            there = Where(placed.host or self.here.name, placed.container)
        elif argv[:1] in (("exit",), ("logout",)) and self._entered:
            self.here = self._entered.pop()
        if there is not None:
            self._entered.append(self.here)
            self.here = there


def judged(said: Iterable[tuple[Where, str]], names: Iterable[str]) -> Where | None:
    """The machine whose answers are judged, None where nothing is; raises Differ where there would be several."""
    found = [where for where, key in said if is_evidence(key)]
    hosts = different([where for where in found if not where.container], set(names))
    must_be_one([where.name or "the one where they were typed" for where in hosts])
    containers = list(dict.fromkeys(where for where in found if where.container))
    if not hosts:
        must_be_one([where.container for where in containers], "place")
    return next(iter(hosts or containers), None)


def most(said: Iterable[tuple[Where, str]]) -> Where:
    """The host that said most."""
    counts = Counter(where for where, _ in said if where.name and not where.container)
    return counts.most_common(1)[0][0] if counts else next((where for where, _ in said), HERE)


def must_be_one(names: Sequence[str], what: str = "host") -> None:
    """Raises Differ."""
    if len(names) > 1:
        raise Differ(
            f"these are outputs of more than one {what}: {names[0]} and {names[1]}; give the text of one alone"
        )
