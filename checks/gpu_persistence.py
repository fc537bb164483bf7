"""GPUs whose driver forgets everything when the last program ends."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvml import NOT_OFFERED, XID, in_words


@check(
    area="driver",
    title="The driver keeps the GPUs ready (persistence mode)",
    explained_by=("gpu_presence", "driver_stack"),
)
def gpu_persistence(gpus: Gpus, machine: Machine) -> Iterator[Finding]:
    """Without persistence mode the driver shuts a GPU down when its last program ends, and starts it anew for the next.

    Each start costs seconds (ECC scrubbing of all memory), power limits and locked clocks are lost, error counts since
    the driver was loaded begin anew, and the links of an SXM board are trained again while others run. NVIDIA's guide
    wants nvidia-persistenced on every server, and DCGM warns where the mode is off. A warning for data centre boards,
    one for all of them; a note in virtual machines and containers, whose host decides. Not judged where it is not
    offered (Grace, WSL, vGPU: always on) and on boards with screens, which the desktop keeps open.
    """
    judged = [gpu for gpu in gpus if gpu.persistence is not None and not gpu.has_display and gpu.name]
    refused = [gpu for gpu in gpus if gpu.errors.get("persistence", NOT_OFFERED[0]) not in NOT_OFFERED]
    if not judged and not refused and not gpus.lost:
        raise NothingHere("persistence mode is not told of a data centre GPU here")
    if off := [gpu for gpu in judged if gpu.persistence == 0]:
        is_guest = bool(machine.virtual or machine.container) or any(gpu.is_passed_through for gpu in off)
        some = f"{len(off)} of {len(judged)} GPUs" if len(off) < len(judged) else "the GPUs"
        yield (ok if is_guest else warning)(
            f"persistence mode is off on {some}: between jobs the driver shuts them down, the next start takes seconds "
            "and forgets power limits, clocks and error counts",
            code="off",
            advice="`sudo systemctl enable --now nvidia-persistenced` (or until the next boot `sudo nvidia-smi -pm 1`)",
            covers=[gpu.label for gpu in off],
            evidence=[gpu.line for gpu in off[:2]],
        )
    for gpu in refused:
        words = in_words(gpu.errors["persistence"])
        yield unknown(f"its persistence mode: {words}", subject=gpu.label, code="refused", advice=XID)
    told = [gpu for gpu in gpus if gpu.persistence is not None]
    for subject, what, advice, code in gpus.gaps("persistence mode", told, "persistence"):
        yield unknown(what, subject=subject or "host", advice=advice, code=code)
