"""How the forms of nvidia-smi call what probes/nvml.py names: one table.

Labels were renamed more than once, and each form has names of its own. ``-q`` since R450; older drivers count single
and double bit errors::

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

# Name; kind, for `smi.read_value`; the label of -q, in lower case, with its section where it does not tell alone; the
# tag of -q -x and what it stands in; the field of --query-gpu and --query-remapped-rows. Of several rows for one name
# the first value that is told counts.
_ROWS = (
    ("name", "text", "product name", "gpu/product_name", "name"),
    ("name", "text", "", "", "gpu_name"),
    ("uuid", "text", "gpu uuid", "gpu/uuid", ""),
    ("persistence", "mode", "persistence mode", "gpu/persistence_mode", "persistence_mode"),
    ("virtualization", "virtualization", "virtualization mode", "gpu_virtualization_mode/virtualization_mode", ""),
    ("pstate", "pstate", "performance state", "gpu/performance_state", "pstate"),
    ("fabric_state", "text", "fabric/state", "fabric/state", ""),
    ("fabric_status", "text", "fabric/status", "fabric/status", ""),
    ("fabric_clique", "text", "fabric/cliqueid", "fabric/cliqueId", ""),
    ("fabric_summary", "text", "health/summary", "health/summary", ""),
    ("fabric_bandwidth", "text", "health/bandwidth", "health/bandwidth", ""),
    ("fabric_recovery", "text", "health/route recovery in progress", "health/route_recovery_in_progress", ""),
    ("fabric_route", "text", "health/route unhealthy", "health/route_unhealthy", ""),
    ("fabric_timeout", "text", "health/access timeout recovery", "health/access_timeout_recovery", ""),
    ("reasons", "mask", "", "gpu/clocks_event_reasons", "reasons.active"),
    ("reasons", "mask", "", "gpu/clocks_throttle_reasons", ""),
    ("supported_reasons", "mask", "", "", "reasons.supported"),
    ("temperature_c", "C", "gpu current temp", "temperature/gpu_temp", "temperature.gpu"),
    ("margin_c", "C", "gpu t.limit temp", "temperature/gpu_temp_tlimit", "temperature.gpu.tlimit"),
    ("margin_c", "C", "gpu current t.limit temp", "", ""),
    ("shutdown_c", "C", "gpu shutdown temp", "temperature/gpu_temp_max_threshold", ""),
    ("slowdown_c", "C", "gpu slowdown temp", "temperature/gpu_temp_slow_threshold", ""),
    ("gpu_max_c", "C", "gpu max operating temp", "temperature/gpu_temp_max_gpu_threshold", ""),
    ("shutdown_offset_c", "C", "gpu shutdown t.limit temp", "temperature/gpu_temp_max_tlimit_threshold", ""),
    ("slowdown_offset_c", "C", "gpu slowdown t.limit temp", "temperature/gpu_temp_slow_tlimit_threshold", ""),
    ("gpu_max_offset_c", "C", "gpu max operating t.limit temp", "temperature/gpu_temp_max_gpu_tlimit_threshold", ""),
    ("memory_c", "C", "memory current temp", "temperature/memory_temp", "temperature.memory"),
    ("memory_max_c", "C", "memory max operating temp", "temperature/gpu_temp_max_mem_threshold", ""),
    ("memory_max_offset_c", "C", "memory max operating t.limit temp",
     "temperature/gpu_temp_max_mem_tlimit_threshold", ""),
    ("sm_mhz", "MHz", "clocks/sm", "clocks/sm_clock", "clocks.current.sm"),
    ("sm_mhz", "MHz", "", "", "clocks.sm"),
    ("sm_max_mhz", "MHz", "max clocks/sm", "max_clocks/sm_clock", "clocks.max.sm"),
    ("app_mhz", "MHz", "applications clocks/graphics", "applications_clocks/graphics_clock", "clocks.applications.gr"),
    ("app_mhz", "MHz", "", "", "clocks.applications.graphics"),
    ("app_default_mhz", "MHz", "default applications clocks/graphics", "default_applications_clocks/graphics_clock",
     "clocks.default_applications.gr"),
    ("app_default_mhz", "MHz", "", "", "clocks.default_applications.graphics"),
    ("pcie_max_generation", "", "pcie generation/max", "pcie_gen/max_link_gen", "pcie.link.gen.max"),
    ("pcie_generation", "", "pcie generation/current", "pcie_gen/current_link_gen", "pcie.link.gen.current"),
    ("pcie_generation", "", "", "", "pcie.link.gen.gpucurrent"),
    ("pcie_max_width", "lanes", "link width/max", "link_widths/max_link_width", "pcie.link.width.max"),
    ("pcie_width", "lanes", "link width/current", "link_widths/current_link_width", "pcie.link.width.current"),
    ("pcie_replays", "", "replays since reset", "pci/replay_counter", ""),
    ("gpu_percent", "%", "utilization/gpu", "utilization/gpu_util", "utilization.gpu"),
    ("memory_percent", "%", "utilization/memory", "utilization/memory_util", "utilization.memory"),
    ("power_mw", "W", "power readings/power draw", "power_readings/power_draw", "power.draw"),
    ("power_mw", "W", "gpu power readings/power draw", "gpu_power_readings/power_draw", ""),
    ("power_mw", "W", "gpu power readings/average power draw", "gpu_power_readings/average_power_draw",
     "power.draw.average"),
    ("power_mw", "W", "gpu power readings/instantaneous power draw", "gpu_power_readings/instant_power_draw",
     "power.draw.instant"),
    ("power_limit_mw", "W", "power readings/enforced power limit", "power_readings/enforced_power_limit",
     "enforced.power.limit"),
    ("power_limit_mw", "W", "gpu power readings/current power limit", "gpu_power_readings/current_power_limit",
     "power.limit"),
    ("power_default_mw", "W", "power readings/default power limit", "power_readings/default_power_limit",
     "power.default_limit"),
    ("power_default_mw", "W", "gpu power readings/default power limit", "gpu_power_readings/default_power_limit", ""),
    # ---- health
    ("ecc_now", "mode", "ecc mode/current", "ecc_mode/current_ecc", "ecc.mode.current"),
    ("ecc_then", "mode", "ecc mode/pending", "ecc_mode/pending_ecc", "ecc.mode.pending"),
    ("mig_now", "mode", "mig mode/current", "mig_mode/current_mig", "mig.mode.current"),
    ("mig_then", "mode", "mig mode/pending", "mig_mode/pending_mig", "mig.mode.pending"),
    ("mig_devices", "devices", "mig devices", "gpu/mig_devices", ""),
    ("sram_threshold", "yes", "aggregate/sram threshold exceeded", "aggregate/sram_threshold_exceeded",
     "ecc.errors.uncorrected.aggregate.sram.thresholdExceeded"),
    ("channel_repair", "yes", "channel repair pending", "ecc_errors/channel_repair_pending", ""),
    ("tpc_repair", "yes", "tpc repair pending", "ecc_errors/tpc_repair_pending", ""),
    ("unrepairable", "yes", "unrepairable memory", "ecc_errors/unrepairable_memory", ""),
    ("retired_sbe", "", "retired pages/single bit ecc", "multiple_single_bit_retirement/retired_count",
     "retired_pages.single_bit_ecc.count"),
    ("retired_sbe", "", "", "", "retired_pages.sbe"),
    ("retired_dbe", "", "retired pages/double bit ecc", "double_bit_retirement/retired_count",
     "retired_pages.double_bit.count"),
    ("retired_dbe", "", "", "", "retired_pages.dbe"),
    ("retired_pending", "yes", "retired pages/pending page blacklist", "retired_pages/pending_blacklist",
     "retired_pages.pending"),
    ("retired_pending", "yes", "retired pages/pending", "retired_pages/pending_retirement", ""),
    ("remap_pending", "yes", "remapped rows", "gpu/remapped_rows", ""),
    ("remap_pending", "yes", "remapped rows/pending", "remapped_rows/remapped_row_pending", "remapped_rows.pending"),
    ("remap_corrected", "", "remapped rows/correctable error", "remapped_rows/remapped_row_corr",
     "remapped_rows.correctable"),
    ("remap_uncorrected", "", "remapped rows/uncorrectable error", "remapped_rows/remapped_row_unc",
     "remapped_rows.uncorrectable"),
    ("remap_failure", "yes", "remapped rows/remapping failure occurred", "remapped_rows/remapped_row_failure",
     "remapped_rows.failure"),
    ("recovery", "text", "gpu recovery action", "gpu/gpu_recovery_action", "gpu_recovery_action"),
    ("reset_required", "yes", "gpu reset status/reset required", "gpu_reset_status/reset_required",
     "reset_status.reset_required"),
    ("drain_recommended", "yes", "gpu reset status/drain and reset recommended",
     "gpu_reset_status/drain_and_reset_recommended", "reset_status.drain_and_reset_recommended"),
    ("vbios", "text", "vbios version", "gpu/vbios_version", "vbios_version"),
    ("part", "text", "board part number", "gpu/board_part_number", ""),
    ("part", "text", "gpu part number", "gpu/gpu_part_number", ""),  # without that label it is that of the board
    ("gsp", "text", "gsp firmware version", "gpu/gsp_firmware_version", "gsp.firmware.version"),
    ("inforom", "checksum", "", "", "inforom.checksum_validation"),
    ("inforom_image", "text", "inforom version/image version", "inforom_version/img_version", "inforom.img"),
    *((f"banks_{level}", "bank(s)", f"bank remap availability histogram/{level}",
       f"row_remapper_histogram/row_remapper_histogram_{level}", f"remapped_rows.histogram.{level}")
      for level in ("max", "high", "partial", "low", "none")),
)  # fmt: skip
# Errors that ECC found, by period: the end of the name, the label, and the end of the field.
_ERRORS = (
    ("corrected", "sram", "sram correctable", "sram"), ("corrected", "dram", "dram correctable", "dram"),
    ("uncorrected", "sram", "sram uncorrectable", "sram"), ("uncorrected", "dram", "dram uncorrectable", "dram"),
    ("uncorrected", "parity", "sram uncorrectable parity", "sram.parity"),
    ("uncorrected", "secded", "sram uncorrectable sec-ded", "sram.secded"),
    ("corrected", "dram", "single bit/device memory", "device_memory"),
    ("uncorrected", "dram", "double bit/device memory", "device_memory"),
    ("corrected", "total", "single bit/total", "total"), ("uncorrected", "total", "double bit/total", "total"),
)  # fmt: skip
_ALL = (
    *_ROWS,
    *((f"ecc_{kind}_{period}_{of}", "", f"{period}/{label}",
       f"{period}/{label.replace(' ', '_').replace('-', '')}", f"ecc.errors.{kind}.{period}.{field}")
      for period in ("volatile", "aggregate") for kind, of, label, field in _ERRORS),
)  # fmt: skip
# How long the clocks were held back: by the label of -q, and by the ends of the tag and of the field.
_COUNTERS = (
    ("power_cap_ns", "sw power capping", "sw_power_cap", "sw_power_cap"),
    ("sync_boost_ns", "sync boost", "sync_boost", "sync_boost"),
    ("sw_thermal_ns", "sw thermal slowdown", "sw_therm_slowdown", "sw_thermal_slowdown"),
    ("hw_thermal_ns", "hw thermal slowdown", "hw_therm_slowdown", "hw_thermal_slowdown"),
    ("power_brake_ns", "hw power braking", "hw_power_brake", "hw_power_brake_slowdown"),
)
COUNTER_LABELS, COUNTER_TAGS = ({row[column]: row[0] for row in _COUNTERS} for column in (1, 2))
LABELS, TAGS, _FIELDS = ({row[column]: row[:2] for row in _ALL if row[column]} for column in (2, 3, 4))
FIELDS = _FIELDS | {f"counters.{field}": (name, "us") for name, _, _, field in _COUNTERS}
