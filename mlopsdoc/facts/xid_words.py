"""What the driver's lines mean in words, and what to do: advice that findings about Xids share."""

from __future__ import annotations

EVIDENCE = "save the evidence first (`sudo nvidia-bug-report.sh`), then "
OWNER = (
    "tell the owner of the job (compute-sanitizer or cuda-gdb show where it fails); the GPU needs nothing unless other "
    "programs fail on it too"
)
ALL_SWITCHES = "end all jobs, then reset all GPUs and switches together, or reboot; steps in the runbook"
ONE_PORT = "end the jobs on them and reset them (of a link between switches: all of the board); steps in the runbook"
INSPECT = (
    "a reset or reboot did not mend it: keep the GPU out of work and have its seat, power and slot inspected, then "
)
ECC = (48, 63, 64, 92, 94, 95, 140, 171, 172)  # a process that starts later is no sign that these are over
# What the driver asks for with Xid 154, nvml.h: NVML_GPU_RECOVERY_ACTION_*.
WANTS = {
    1: "end its jobs, then reset it (sudo nvidia-smi -r -i {pci})",
    2: "drain the host and reboot it",
    3: "end what uses peer-to-peer with it",
    4: "let its jobs end, then reset it (sudo nvidia-smi -r -i {pci})",
    7: "drain the host and reboot it",
}
# Of lines without a number -> what they say, what to do. What several lines say of one failed start: the first here.
TROUBLES = {
    "gfw_boot": (
        "its boot firmware (GFW, of the VBIOS) did not finish: the board itself did not come up",
        "switch the host off and on again (a reboot is not enough); if it stays so, have the board replaced",
    ),
    "gsp_boot": (
        "its GSP firmware could not be started",
        "reset it (sudo nvidia-smi -r -i {pci}) or switch the host off and on again; look for the first failure above",
    ),
    "init": (
        "the driver could not initialise it",
        "reset it (sudo nvidia-smi -r -i {pci}) or reboot; if it stays so, check its seat, power and the BIOS",
    ),
    "off_bus": ("has fallen off the bus: it does not answer over PCIe", EVIDENCE + "drain the host and reboot it"),
    "open_module": (
        "the open kernel module that is loaded does not support it (older than Turing, or a vGPU)",
        "install the proprietary module of a branch that supports it",
    ),
    "closed_module": (
        "it needs the open kernel module, and the proprietary one is loaded",
        "install the open module of the same version (nvidia-open)",
    ),
    "other_branch": (
        "the driver that is loaded does not support it: it is too old or too new for this branch",
        "look up which branch of the driver supports it (lspci -nn -s {pci}), and install that",
    ),
    "bar": (
        "the BIOS gave it no room in the address space (BAR)",
        "switch on Above 4G decoding (and large BARs) in the BIOS",
    ),
    "gsp": ("its GSP firmware stopped answering", EVIDENCE + "end its jobs and reset it (sudo nvidia-smi -r -i {pci})"),
    "no_links": (
        "its NVLinks did not find what is at their other ends when it started",
        "see which links are up (`nvidia-smi nvlink -s`); where some are not, reboot the host when it is drained",
    ),
    "no_gpu": (
        "the driver was loaded and found no GPU that it can use",
        "look at `lspci -d 10de:` and the lines above",
    ),
}
OTHER_DRIVER = ("open_module", "closed_module", "other_branch")  # critical unless it is one beside others that work
WPR2 = "its GSP firmware could not be started: memory of an earlier start is still locked (WPR2)"
