"""What may be typed with `--plain`: a line each, and more of one letter."""

from __future__ import annotations

LIVE_ONLY = ("r", "p", "X", "U", "m", "s")  # what a recording has no use for

# Letter -> what follows it, what it does, and what else there is to know.
TOPICS = {
    "N": ("", "finding N: whom it hurts, what was seen, what to do",
          "The number of a finding stays its own: a new one gets a new number. The name of a check does the same."),
    "l": ("", "the list again", "The worst is first, what is muted last. `hence` is what the finding above explains."),
    "f": ("", "the list: problems only, all checks, what changed",
          "In turn, or by name: f problems, f all, f changed (in the last 10 min)."),
    "b": ("N", "its runbook, with its values filled in", "A check will do in place of N, for all that take an N."),
    "e": ("N", "what its check judges, and why", "Also: what it reads, and the thresholds that may be set."),
    "x": ("N [STEP]", "the steps of its runbook, or one as it would be run",
          "A step has a number and a name. NAME=VALUE may follow, where the finding does not tell a value."),
    "D": ("N STEP", "what that step would touch; nothing is run", "As x, and asks this machine what is in its way."),
    "X": ("N STEP", "run it: asks before it changes anything; ctrl+c stops it",
          "look runs at once, tune and jobs ask, kills want the name of this host. Without a terminal only look runs."),
    "U": ("N STEP", "take it back", "By what its runbook says undoes it; it asks first."),
    "/": ("TEXT", "the lines with a text in them",
          "Of what was said last, then of each finding and check by its number or name. n and N are not needed."),
    "r": ("[N]", "check again, all or the check of N", "What changes by itself is said without asking: see p."),
    "p": ("", "pause: nothing is asked until p is typed again",
          "Else what is new, worse, better or gone is said, in 10 s; what cannot be seen is not called gone."),
    "m": ("N [4h WHY]", "mute it for a while, or lift that",
          "It stays in the list and does not count. What is not typed is asked for: 90m, 12h, 3d; and why."),
    "y": ("[N]", "copy finding N with what was seen, or what was said last",
          "To tmux or the clipboard, if there is one, and always into a file, whose name is said."),
    "s": ("", "save a snapshot of this machine, redacted, to send away", "Its path is said; d compares with it."),
    "d": ("FILE", "what changed since a snapshot", "Or against one of another host."),
    "t": ("", "how GPUs, switches, network cards and NUMA nodes are joined", "A drawing; what is sick is marked."),
    "g": ("", "the GPUs: use, temperature, power, clock, whose", "The table beside the list of a large screen."),
    "i": ("", "what could not be seen, and how to change that", "Also which terminal this is taken for."),
    "a": ("", "the whole report", "As `mlopsdoc check` prints it."),
    "S": ("", "save the whole report as text", "Into this folder, or the state folder; its path is said."),
    ":": ("VERB", "other verbs: history, audit show, list, runbook list, ...",
          "As on the command line; only what changes nothing is run."),
    "?": ("[LETTER]", "this; more of one letter", "? x tells more of x."),
    "q": ("", "quit", "So does the end of the input; ctrl+c does not."),
}  # fmt: skip
ALIKE = {"R": "r", "n": "/"}


def help_of(letter: str, off: str) -> str:
    """All of it, or what there is to know of one letter. off: why what changes something is not there."""
    letter = ALIKE.get(letter, letter)
    if letter not in TOPICS:
        heads = {name: f"{name} {usage}".strip() for name, (usage, _, _) in TOPICS.items()}
        rows = [f"{head:<13}{'(off) ' if off and n in LIVE_ONLY else ''}{TOPICS[n][1]}" for n, head in heads.items()]
        return "".join(f"{row}\n" for row in rows) + (f"(off): {off}\n" if off else "")
    usage, short, more = TOPICS[letter]
    why = f" Off here: {off}." if off and letter in LIVE_ONLY else ""
    return f"{letter} {usage}".strip() + f": {short}. {more}{why}\n"
