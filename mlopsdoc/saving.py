"""The one way in which a snapshot is written: redacted in memory, judged again, then written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import json
from msgspec.structs import replace

from mlopsdoc import __version__, config, examination, profile
from mlopsdoc.engine import Ledger
from mlopsdoc.examination import Setup
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.hosts.ring import replace_file
from mlopsdoc.model import Report, Source
from mlopsdoc.redact.redactor import Leak, Redactor

NEEDED = 32 << 20  # bytes that must be free before anything is asked


class CannotRedact(RuntimeError):
    """Why nothing was written: what is there could not be proven to hold no names, or there is no key."""


class Saved(NamedTuple):
    """What was written. redaction: what was replaced, None where nothing was."""

    path: str
    answers: int
    bytes: int
    redaction: dict[str, Any] | None


def key_of(settings: config.Config, states: Sequence[str]) -> bytes:
    """The key of the pseudonyms: of the configuration, which hosts of a fleet share, else one of this host's own.

    Raises CannotRedact.
    """
    if settings.redaction_key:
        return settings.redaction_key.encode()
    for state in states:
        try:
            with open(f"{state}/redaction.key", "rb") as file:
                if len(key := file.read(4096)) >= 32:
                    return key
        except OSError:
            continue
    key = secrets.token_hex(32).encode()
    if not states or not replace_file(f"{states[0]}/redaction.key", key, 0o600):
        return key  # good for this snapshot: the next will have other names
    return key


def check_room(path: str) -> None:
    """Raises OSError where there is no folder for the file, no room in it, or a folder of its name."""
    if os.path.isdir(path):
        raise FileExistsError(errno.EEXIST, "there is such a folder already", path)
    folder = os.path.dirname(os.path.abspath(path))
    about = os.statvfs(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "may not be written", folder)
    if about.f_bavail * about.f_frsize < NEEDED:
        raise OSError(errno.ENOSPC, f"fewer than {NEEDED >> 20} MiB are free", folder)


def default_name(setup: Setup, recording: Recording, key: bytes | None) -> str:
    """``HOST-20261123T031000Z.tar.gz``, with the pseudonym of the host where a key is given."""
    name = examination.host_info(Ledger(Replay(recording))).name or "host"
    name = Redactor(key).pseudonyms.of("host", name.lower()) if key else name
    plain = "".join(char if char.isalnum() or char == "-" else "_" for char in name.partition(".")[0])
    return f"{plain}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(recording.taken_at))}.tar.gz"


def save(
    recording: Recording,
    setup: Setup,
    report: Report,
    path: str,
    key: bytes | None,
    about: dict[str, Any] | None = None,
) -> Saved:
    """Write a snapshot; with a key it is redacted, and the recording used up. Raises OSError, CannotRedact."""
    manifest: dict[str, Any] = {"tool": __version__} | (about or {})
    redactor = None
    recording.profile = profile.table(setup.profile)
    if key is not None:
        if recording.is_redacted:
            raise CannotRedact("it is redacted already: once more, and nobody could tell whose names these were")
        redactor = Redactor(key)
        redactor.learn(recording)
        recording = redactor.recording(recording)
        sources = [replace(source, path="") for source in report.sources]
        report = judged(recording, setup, sources)
        report = replace(report, profile=redactor.text(report.profile))
        manifest["redaction"] = redactor.report()
    files = snapshot.files_of(recording, manifest) | {"report.json": json.encode(report) + b"\n"}
    if redactor is not None:
        _prove(redactor, files)
    snapshot.save(files, path)
    size = os.path.getsize(path) if os.path.isfile(path) else sum(map(len, files.values()))
    return Saved(path, len(recording.answers), size, redactor.report() if redactor else None)


def judged(recording: Recording, setup: Setup, sources: Sequence[Source]) -> Report:
    """The report of a recording, with the checks and settings of a run."""
    started = time.monotonic()
    ledger = Ledger(Replay(recording))
    results = list(examination.examine(setup, ledger))
    return examination.report(setup, ledger, results, [*sources], started)


def _prove(redactor: Redactor, files: dict[str, bytes]) -> None:
    """Names and tables of the archive once more; every answer was proven when it was redacted."""
    try:
        for name, data in files.items():
            redactor.prove_plain(name)
            if name in ("manifest.json", "items.jsonl", "report.json"):
                redactor.prove_plain(data.decode("utf-8", "surrogateescape"))
    except Leak as leak:
        raise CannotRedact(f"nothing is written: {leak}") from None
