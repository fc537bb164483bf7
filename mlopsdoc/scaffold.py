"""`mlopsdoc new`: the three files of a check, to start from. No existing file is touched."""

from __future__ import annotations

import os
from keyword import iskeyword

CHECK = '''"""TODO: what is judged, in a line."""

from collections.abc import Iterator

from mlopsdoc import Fact, Finding, Host, NothingHere, check, warning


class {fact}(Fact, frozen=True):
    """TODO: what is known of the host. From /proc/loadavg::

    0.20 0.18 0.12 1/80 11206
    """

    load: float

    @classmethod
    def read(cls, host: Host) -> "{fact}":
        """Raises NothingHere where there is nothing to judge."""
        answer = host.read("/proc/loadavg")  # TODO: the question that tells
        if not answer.said:
            raise NothingHere(f"no /proc/loadavg: {{answer.why}}")
        return cls(float(answer.text.split()[0]))


@check(area="host", title="TODO: the healthy case, as a sentence")
def {id}(fact: {fact}, *, load_warning: float = 1000.0) -> Iterator[Finding]:
    """TODO: why it matters, in two sentences; where the threshold comes from."""
    if fact.load > load_warning:
        yield warning(
            f"the load is {{fact.load:g}}, more than {{load_warning:g}}",
            metrics={{"load": fact.load}},
            advice="TODO: what to do next",
        )
'''
RUNBOOK = """# TODO: the problem, as whoever is paged sees it

## Meaning

TODO: what it means, in two sentences.

## Impact

TODO: what happens if it is left.

## Diagnosis

### See the load

```sh look timeout=10s
cat /proc/loadavg
```

### See who makes it

```sh look timeout=10s
ps -eo pid,user,pcpu,args --sort=-pcpu | head -n 20
```

### See what waits for a disk or a device

```sh look timeout=10s
ps -eo pid,user,state,wchan:30,args | awk 'NR == 1 || $3 ~ /D/'
```

## Mitigation

TODO: the fix, from least to most disruptive, a step each.

### Start no more jobs of cron

```sh jobs needs=root timeout=30s
systemctl stop cron
```

```sh undo
systemctl start cron
```

## Verify

### See the check turn ok

```sh look timeout=10s
cat /proc/loadavg
```

Then `mlopsdoc check {id}` is ok.

**When to stop.** TODO: whom to call, with the file that `sudo mlopsdoc snapshot` writes.
"""
EXPECT = """about = "TODO: what is wrong on this host"
base = "reference"

[verdicts]
{id} = "warning"

[says]
{id} = ["the load is 2048"]
"""


class CannotMake(ValueError):
    """Why no check is made."""


def make(id: str, folder: str) -> list[str]:
    """Write the files of a new check below a folder with checks/ and runbooks/; their paths. Raises CannotMake."""
    if not id.isidentifier() or not id.islower() or id.startswith("_") or iskeyword(id):
        raise CannotMake(f"{id!r} is no name for a check: small letters, digits and _ , such as gpu_thermal")
    for needed in ("checks", "runbooks", "snapshots"):
        if not os.path.isdir(f"{folder}/{needed}"):
            raise CannotMake(f"{folder} has no folder {needed}/: name one with --dir (a checkout, or /etc/mlopsdoc)")
    fact = "".join(part.capitalize() for part in id.split("_")) + "Fact"
    twin = f"{folder}/snapshots/{id}_trips"
    files = {
        f"{folder}/checks/{id}.py": CHECK.format(id=id, fact=fact),
        f"{folder}/runbooks/{id}.md": RUNBOOK.format(id=id),
        f"{twin}/SNAPSHOT": "mlopsdoc-snapshot 1\n",
        f"{twin}/expect.toml": EXPECT.format(id=id),
        f"{twin}/files/proc/loadavg": "2048.00 1024.00 512.00 9/999 4711\n",
    }
    if taken := [path for path in files if os.path.exists(path)]:
        raise CannotMake(f"{taken[0]} is there already")
    for path, text in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x") as file:
            file.write(text)
    return list(files)
