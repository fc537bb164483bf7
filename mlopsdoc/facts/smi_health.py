"""What the forms of nvidia-smi call the health of a GPU: ECC, remapped rows, retired pages, MIG, recovery, firmware.

Names are those of probes/nvml.py. ``nvidia-smi -q`` since R450; older drivers count single and double bit errors::

    ECC Mode                                                   (until R535: Ecc Mode)
        Current                                : Enabled
    ECC Errors
        Volatile
            SRAM Correctable                   : 0
            SRAM Uncorrectable Parity          : 0             (until R535: SRAM Uncorrectable)
            SRAM Uncorrectable SEC-DED         : 0
            DRAM Correctable                   : 0
        Aggregate
            SRAM Threshold Exceeded            : No
        Channel Repair Pending                 : No            (R570; or "GPU requires reset")
    Retired Pages
        Double Bit ECC                         : N/A
        Pending Page Blacklist                 : N/A
    Remapped Rows                                              (": N/A" before Ampere)
        Uncorrectable Error                    : 2
        Pending                                : Yes
        Remapping Failure Occurred             : No
        Bank Remap Availability Histogram
            Max                                : 2559 bank(s)
"""

from __future__ import annotations

COUNT, YES, MODE, BANKS, TEXT, DEVICES = "", "yes", "mode", "bank(s)", "text", "devices"
BANK_LEVELS = ("max", "high", "partial", "low", "none")
_PERIODS = ("volatile", "aggregate")
# The count of errors by what its label ends with.
_COUNTS = {
    "sram correctable": "ecc_corrected_{}_sram",
    "sram uncorrectable": "ecc_uncorrected_{}_sram",
    "sram uncorrectable parity": "ecc_uncorrected_{}_parity",
    "sram uncorrectable sec-ded": "ecc_uncorrected_{}_secded",
    "dram correctable": "ecc_corrected_{}_dram",
    "dram uncorrectable": "ecc_uncorrected_{}_dram",
    "single bit/device memory": "ecc_corrected_{}_dram",
    "single bit/total": "ecc_corrected_{}_total",
    "double bit/device memory": "ecc_uncorrected_{}_dram",
    "double bit/total": "ecc_uncorrected_{}_total",
}

LABELS = {
    "ecc mode/current": ("ecc_now", MODE),
    "ecc mode/pending": ("ecc_then", MODE),
    "mig mode/current": ("mig_now", MODE),
    "mig mode/pending": ("mig_then", MODE),
    "mig devices": ("mig_devices", DEVICES),
    "aggregate/sram threshold exceeded": ("sram_threshold", YES),
    "channel repair pending": ("channel_repair", YES),
    "tpc repair pending": ("tpc_repair", YES),
    "unrepairable memory": ("unrepairable", YES),
    "retired pages/single bit ecc": ("retired_sbe", COUNT),
    "retired pages/double bit ecc": ("retired_dbe", COUNT),
    "retired pages/pending page blacklist": ("retired_pending", YES),
    "retired pages/pending": ("retired_pending", YES),
    "remapped rows": ("remap_pending", YES),
    "remapped rows/correctable error": ("remap_corrected", COUNT),
    "remapped rows/uncorrectable error": ("remap_uncorrected", COUNT),
    "remapped rows/pending": ("remap_pending", YES),
    "remapped rows/remapping failure occurred": ("remap_failure", YES),
    "gpu recovery action": ("recovery", TEXT),
    "gpu reset status/reset required": ("reset_required", YES),
    "gpu reset status/drain and reset recommended": ("drain_recommended", YES),
    "vbios version": ("vbios", TEXT),
    "gpu part number": ("part", TEXT),
    "gsp firmware version": ("gsp", TEXT),
    **{f"bank remap availability histogram/{level}": (f"banks_{level}", BANKS) for level in BANK_LEVELS},
    **{f"{period}/{end}": (name.format(period), COUNT) for period in _PERIODS for end, name in _COUNTS.items()},
}

# Of -q -x: parent/tag, or its parent in front.
TAGS = {
    "ecc_mode/current_ecc": ("ecc_now", MODE),
    "ecc_mode/pending_ecc": ("ecc_then", MODE),
    "mig_mode/current_mig": ("mig_now", MODE),
    "mig_mode/pending_mig": ("mig_then", MODE),
    "gpu/mig_devices": ("mig_devices", DEVICES),
    "aggregate/sram_threshold_exceeded": ("sram_threshold", YES),
    "ecc_errors/channel_repair_pending": ("channel_repair", YES),
    "ecc_errors/tpc_repair_pending": ("tpc_repair", YES),
    "ecc_errors/unrepairable_memory": ("unrepairable", YES),
    "multiple_single_bit_retirement/retired_count": ("retired_sbe", COUNT),
    "double_bit_retirement/retired_count": ("retired_dbe", COUNT),
    "retired_pages/pending_blacklist": ("retired_pending", YES),
    "retired_pages/pending_retirement": ("retired_pending", YES),
    "gpu/remapped_rows": ("remap_pending", YES),
    "remapped_rows/remapped_row_corr": ("remap_corrected", COUNT),
    "remapped_rows/remapped_row_unc": ("remap_uncorrected", COUNT),
    "remapped_rows/remapped_row_pending": ("remap_pending", YES),
    "remapped_rows/remapped_row_failure": ("remap_failure", YES),
    "gpu/gpu_recovery_action": ("recovery", TEXT),
    "gpu_reset_status/reset_required": ("reset_required", YES),
    "gpu_reset_status/drain_and_reset_recommended": ("drain_recommended", YES),
    "gpu/vbios_version": ("vbios", TEXT),
    "gpu/gpu_part_number": ("part", TEXT),
    "gpu/gsp_firmware_version": ("gsp", TEXT),
    **{f"row_remapper_histogram/row_remapper_histogram_{level}": (f"banks_{level}", BANKS) for level in BANK_LEVELS},
    **{
        f"{period}/{end.replace(' ', '_').replace('-', '')}": (name.format(period), COUNT)
        for period in _PERIODS
        for end, name in _COUNTS.items()
    },
}

# Of --query-gpu and --query-remapped-rows.
FIELDS = {
    "ecc.mode.current": ("ecc_now", MODE),
    "ecc.mode.pending": ("ecc_then", MODE),
    "mig.mode.current": ("mig_now", MODE),
    "mig.mode.pending": ("mig_then", MODE),
    "ecc.errors.uncorrected.volatile.sram.parity": ("ecc_uncorrected_volatile_parity", COUNT),
    "ecc.errors.uncorrected.volatile.sram.secded": ("ecc_uncorrected_volatile_secded", COUNT),
    "ecc.errors.uncorrected.aggregate.sram.parity": ("ecc_uncorrected_aggregate_parity", COUNT),
    "ecc.errors.uncorrected.aggregate.sram.secded": ("ecc_uncorrected_aggregate_secded", COUNT),
    "ecc.errors.uncorrected.aggregate.sram.thresholdExceeded": ("sram_threshold", YES),
    "retired_pages.single_bit_ecc.count": ("retired_sbe", COUNT),
    "retired_pages.sbe": ("retired_sbe", COUNT),
    "retired_pages.double_bit.count": ("retired_dbe", COUNT),
    "retired_pages.dbe": ("retired_dbe", COUNT),
    "retired_pages.pending": ("retired_pending", YES),
    "remapped_rows.correctable": ("remap_corrected", COUNT),
    "remapped_rows.uncorrectable": ("remap_uncorrected", COUNT),
    "remapped_rows.pending": ("remap_pending", YES),
    "remapped_rows.failure": ("remap_failure", YES),
    "gpu_recovery_action": ("recovery", TEXT),
    "reset_status.reset_required": ("reset_required", YES),
    "reset_status.drain_and_reset_recommended": ("drain_recommended", YES),
    "vbios_version": ("vbios", TEXT),
    "gsp.firmware.version": ("gsp", TEXT),
    "inforom.checksum_validation": ("inforom", "checksum"),
    **{f"remapped_rows.histogram.{level}": (f"banks_{level}", BANKS) for level in BANK_LEVELS},
    **{
        f"ecc.errors.{kind}.{period}.{place}": (f"ecc_{kind}_{period}_{name}", COUNT)
        for kind in ("corrected", "uncorrected")
        for period in _PERIODS
        for place, name in (("dram", "dram"), ("device_memory", "dram"), ("sram", "sram"), ("total", "total"))
    },
}
