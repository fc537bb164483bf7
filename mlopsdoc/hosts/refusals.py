"""Why evidence is refused: every text of it, and the exceptions that carry one."""

from __future__ import annotations


class Refused(ValueError):
    """What is wrong with evidence, on one line. Any other ValueError of a reader is a bug in it."""


class Cut(Refused):
    """It ends in the middle, or is damaged from some place on: what came before may be used."""


class OverLimit(Refused):
    """It is more than may be read, or made to do harm: what came before is not used either."""


NO_FORM = (
    "it is no form of evidence that mlopsdoc reads (snapshot, nvidia-bug-report, Redfish mockup, sosreport, "
    "insights archive, text)"
)
NO_COLLECTION = (
    "it is not what a collector makes (snapshot, nvidia-bug-report, Redfish mockup, sosreport, insights archive): give "
    "the files of one host, each with --from"
)
EMPTY = "it is empty"
UNKNOWN_TEXT = "nothing in this text is output that mlopsdoc knows"
ENDS_EARLY, DAMAGED = "it ends in the middle", "it is no {}, or damaged"
BAD_HEADER, NO_TAR = "a header is damaged", "a header is not that of a tar file"
BAD_SIZE, CLAIMS = "a member of it claims a size that cannot be", "a member of it claims {} MiB"
PACKED = "it is packed with {}, which is not read: unpack it first"
JOURNAL = "it is a journal of systemd: print it where it is with `journalctl --file FILE -o short-iso`"
NEEDS_PROGRAM = "it is packed with {0}, for which the program {0} is needed: unpack it first"
SEVERAL_HOSTS = "it holds {} hosts, which are judged one at a time: {}"
NO_BUG_REPORT = "it does not begin as an nvidia-bug-report does"
POINTS_OUT = "the process that read it pointed outside it"
CUT_OFF = "{}, {}: get the whole of it, or have what comes before judged with `check --partial`"
# ---- members that no collector makes
BAD_PATH, DEVICE_MEMBER = "member {!r} would lie outside it", "member {!r} is a device"
SPARSE_MEMBER = "member {!r} is a sparse file"
BEHIND_LINK, LINKS_OUT = "member {!r} lies behind a link", "member {!r} is a hard link to a file outside it"
OTHER_CONTENT = "member {!r} is there twice, with different content"
# ---- snapshots of ours
NOT_PLAIN, BAD_NAME = "member {!r} is not a plain file", "member {!r} has a name that is not allowed"
TWICE, LARGE_MEMBER = "member {!r} is there twice", "member {!r} is larger than {} MiB"
NO_SNAPSHOT = "it is no snapshot of mlopsdoc: its file SNAPSHOT is not there or says otherwise"
NEWER = "it has format {}, this mlopsdoc reads up to {}: use {}"
OUTSIDE, TOO_LARGE_FILE, NO_FILE = (
    "{!r} is not inside it",
    "{!r} is too large, or all of it is",
    "no such file in it: {}",
)
ROW, OTHER_DIGEST = "items.jsonl line {}: {}", "{} is not what was recorded (its sha256 differs)"
LARGER, ROWS = "{} is larger than {} MiB", "more than {} answers"
OWN_BASE, BAD_BASE = "{} is its own base", "expect.toml: base is the name of a folder beside this one, not {!r}"
# ---- limits
TOO_LARGE, TOO_LARGE_TEXT = "it is larger than {} MiB", "it is text of more than {} MiB"
GROWS = "it grows to more than {} times its size"
MEMBERS, FILES, PARTS = (
    "it has more than {} members",
    "it has more than {} files",
    "it is made of more than {} packed parts",
)
LONG_HEADER = "a header of it is {} bytes long"
TIME, MEMORY = "reading it takes more than {:.0f} s", "reading it takes more memory than {} MiB"
JUDGED = "judging it takes more than {:.0f} s"
TOO_MANY_ANSWERS = "there is more in it than {} MiB of answers"
