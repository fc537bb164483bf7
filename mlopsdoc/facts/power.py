"""The power supplies of a host, and what is drawn from them."""

from __future__ import annotations

from msgspec.structs import astuple, replace

from mlopsdoc import Answer, CannotSee, Hardware, Host, NothingHere
from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.facts import ipmi, ipmi_power, power_capacity, redfish_power, sel
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.supplies import Group

DEVICES = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")
SMBIOS = "/sys/firmware/dmi/entries/38-0"  # "IPMI Device Information"
# What lists the sensors, what then tells the power drawn, and what the BMC logged.
TOOLS = (
    (("ipmitool", "sdr", "elist"), ("ipmitool", "dcmi", "power", "reading"), ("ipmitool", "sel", "elist")),
    (("ipmi-sensors",), ("ipmi-dcmi", "--get-system-power-statistics"), ("ipmi-sel",)),
)
PASTED = tuple((sensors, *TOOLS[0][1:]) for sensors in (("ipmitool", "sensor"), ("ipmitool", "sdr", "list")))
NO_DEVICE = ("could not open device", "could not find inband device")
NO_SESSION = "Unable to establish"
UNSAID = ("absent", "not_captured")
LOOK = "sudo ipmitool mc info shows whether it answers at all; the runbook has the steps"
BY_LAN = "see whether address, user and password of [bmc] in config.toml are right; the runbook has the steps"
LOAD = "sudo modprobe -a ipmi_si ipmi_devintf"
INSTALL = "install ipmitool"
PAGE = "look at the page of the BMC or at the lights of the supplies"
SENSORS = "sudo ipmitool sdr elist says what is now"
NONE_HERE = "no BMC is known here: neither /dev/ipmi0 nor an IPMI device in SMBIOS, nor [bmc] in config.toml"


class PowerSupplies(Group, frozen=True):
    """Every power supply that the BMC knows, the redundancy it claims, and the watts that are drawn.

    Signs: [bmc] in config.toml; and, world-readable, /dev/ipmi0 or SMBIOS type 38 (/sys/firmware/dmi/entries/38-0).
    Asked over the network by Redfish or IPMI where [bmc] says so, else in band, which only root may: `ipmitool sdr
    elist`, `dcmi power reading`, `fru print` where there are two supplies or more (and `dmidecode -t 39` where neither
    that nor the profile tells what they can give), `sel elist` where something is wrong; FreeIPMI where ipmitool is
    not installed. In band ipmitool waits 15 s for each answer, whatever -N and -R say: what bounds it is the
    deadline of the question. A BMC that let one pass is not asked again.
    """

    @classmethod
    def read(cls, host: Host, machine: Machine | None, hardware: Hardware) -> PowerSupplies:
        """Raises NothingHere without a BMC or a supply, CannotSee when it does not tell, or the profile wants some."""
        group, by_ipmi = _group(host, machine, hardware.supplies)
        supplies = power_capacity.rated(host, group.supplies, by_ipmi=by_ipmi, by_smbios=not hardware.supply_w)
        return cls(*astuple(replace(group, supplies=supplies)))


def _group(host: Host, machine: Machine | None, wanted: int | None) -> tuple[Group, bool]:
    """What a BMC tells, and whether its inventory may be asked for too; raises NothingHere, CannotSee."""
    over = _over(host)
    if over == "redfish":
        if found := redfish_power.group(host, is_demanded=True):
            return found, False
        raise NothingHere("Redfish lists no power supply: they are the enclosure's, or not monitored")
    has_device = any(host.link(path).status not in UNSAID for path in DEVICES)
    has_bmc = has_device or bool(over) or host.link(SMBIOS).status not in UNSAID
    if host.is_live and not has_device and not over:
        raise _without_device(has_bmc, machine, wanted)
    statuses: set[str] = set()
    for sensors, drawn, log in TOOLS if host.is_live else (*TOOLS, *PASTED):
        answer = host.run(*sensors)
        if answer.status not in UNSAID:
            found = _by_ipmi(host, answer, (drawn, log), has_bmc, over, machine)
            return found, not found.unseen or answer.status == "truncated"
        statuses.add(answer.status)
    if not host.is_live and (found := redfish_power.group(host)):
        return found, False
    if not host.is_live and (kept := host.run(*TOOLS[0][2])).said and not has_device:
        if told := sel.last_words(kept):
            raise CannotSee(f"of the BMC only its log is here, whose last word on a supply is: {told[-1]}", SENSORS)
        raise NothingHere("of the BMC only its log is here, which leaves no supply in trouble")
    if not host.is_live and host.read(redfish_power.ROOT).said and not has_device:
        raise NothingHere("Redfish, as far as it is here, lists no power supply")
    if not has_device and not over:
        raise _without_device(has_bmc, machine, wanted)
    if "absent" not in statuses:
        raise CannotSee("the host has a BMC; what it says was not recorded")
    raise CannotSee("the host has a BMC, and neither ipmitool nor FreeIPMI is installed to ask it", INSTALL)


def _over(host: Host) -> str:
    """How the BMC is asked over the network, of ``{"over": "redfish"}``; empty where it is not."""
    answer = host.probe("bmc")
    return next((over for over in ("redfish", "ipmi") if answer.said and f'"{over}"' in answer.text), "")


def _without_device(has_bmc: bool, machine: Machine | None, wanted: int | None) -> Exception:
    is_elsewhere = machine and (machine.container or machine.virtual)
    if not has_bmc and wanted and not is_elsewhere:
        return CannotSee(f"the {wanted} power supplies that the profile wants: {NONE_HERE}", LOAD)
    if not has_bmc:
        return NothingHere(NONE_HERE)
    if machine and machine.container:
        return NothingHere("the BMC is the host's, and this is a container")
    if machine and machine.virtual:
        return NothingHere("this is a virtual machine: its power supplies are the host's")
    return CannotSee("the host has a BMC (SMBIOS says so) and no /dev/ipmi0: its drivers are not loaded", LOAD)


def _by_ipmi(
    host: Host, answer: Answer, more: tuple[tuple[str, ...], ...], has_bmc: bool, over: str, machine: Machine | None
) -> Group:
    """The supplies by the sensors in an answer; raises NothingHere, CannotSee. more: what tells watts, and the log."""
    drawn, log = more
    sensors = ipmi.sensors(answer)
    group = ipmi_power.group(sensors)
    if not group.supplies and not group.redundancy:
        raise _refusal(answer, bool(sensors), has_bmc, over, machine)
    if group.supplies and all(supply.presence == "unread" for supply in group.supplies):
        names = ", ".join(supply.name for supply in group.supplies)
        if told := next((f"{one.name}: {one.said}" for one in group.supplies if one.said), ""):
            raise CannotSee(f"what the BMC says of the power supplies tells no state of them ({told})", PAGE)
        raise CannotSee(f"the BMC has no reading of any power supply ({names}): it was just started, or has hung", LOOK)
    if answer.status in ("timeout", "failed"):
        why = "it did not end" if answer.status == "timeout" else _words(answer)
        return replace(group, unseen=f"the BMC told of only a part of its sensors: {why}")
    said = host.run(*drawn)
    group = ipmi_power.with_reading(group, ipmi.reading(said))
    if said.status == "timeout" or (said.status == "failed" and NO_SESSION in _words(said)):
        why = _words(said)  # asked for more, it would cost a deadline each time
        return replace(group, unseen=f"the BMC stopped answering: {said.key.removeprefix('run ')}: {why}")
    if any(supply.troubles or supply.presence != "present" for supply in group.supplies):
        group = sel.with_times(group, host.run(*log), host.now())
    if answer.status == "truncated":
        return replace(group, unseen="only a part of what the BMC says is here: there may be other supplies")
    return group


def _refusal(answer: Answer, is_list: bool, has_bmc: bool, over: str, machine: Machine | None) -> Exception:
    """Why an answer that names no supply names none."""
    why, look = _words(answer), BY_LAN if over else LOOK
    if answer.status == "ok" and is_list:
        return NothingHere("the BMC lists no power supply: they are the enclosure's, or not monitored")
    if answer.status == "truncated":
        return NothingHere("what is here of the BMC's sensors has no power supply in it")
    if answer.status == "timeout":
        return CannotSee(f"the BMC does not answer: {answer.key.removeprefix('run ')}: {answer.why}", look)
    if why.lower().startswith(NO_DEVICE):
        if not has_bmc:
            return NothingHere(f"no BMC can be asked here: {why}")
        if machine and not machine.is_root:
            return CannotSee("only root may ask the BMC", NEEDS_ROOT)
    return CannotSee(f"the BMC cannot be asked: {why or 'it says nothing that can be understood'}", look)


def _words(answer: Answer) -> str:
    """The words of a tool that failed, or ours; ipmitool's own noise about HPM comes before them."""
    said = answer.stderr.decode("utf-8", "replace").strip() or answer.text.strip()
    lines = [line for line in said.splitlines() if not line.startswith("Get HPM.x")]
    return lines[0][:200] if lines else answer.why
