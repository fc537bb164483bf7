"""How the BMC is reached over the network: the table [bmc] of config.toml. The password is never in it."""

from __future__ import annotations

import os
import stat
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

PASSWORD = "IPMITOOL_PASSWORD"  # ipmitool's own name for it


class Bmc(Struct, frozen=True, forbid_unknown_fields=True):
    """over: which protocol it is asked by. password_file: its first line; without one the environment has it.

    port: where it is another than the usual. fingerprint (SHA-256 of its certificate) or ca_file: who it must be, for
    nearly every BMC has signed its own certificate. plain: HTTP without TLS, for a simulator. cipher: suite of IPMI.
    """

    address: Annotated[str, Meta(min_length=1)]
    user: str = ""
    password_file: str = ""
    over: Literal["redfish", "ipmi"] = "redfish"
    port: Annotated[int, Meta(ge=0, lt=65536)] = 0
    fingerprint: str = ""
    ca_file: str = ""
    plain: bool = False
    cipher: Annotated[int, Meta(ge=-1, lt=18)] = -1

    def ipmitool(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """The same command over the network, as a user of the least rights, with half of the usual tries."""
        more: list[str] = ["-p", str(self.port)] if self.port else []
        more += ["-C", str(self.cipher)] if self.cipher >= 0 else []
        more += ["-f", self.password_file] if self.password_file else ["-E"]
        asked = ("-I", "lanplus", "-H", self.address, "-U", self.user, "-L", "USER", "-N", "2", "-R", "2")
        return ("ipmitool", *asked, *more, *arguments)

    def redfish(self) -> dict[str, Any]:
        """What probes/redfish.py wants to know."""
        names = ("address", "port", "user", "password_file", "fingerprint", "ca_file", "plain")
        return {name: getattr(self, name) for name in names}

    def refusal(self) -> str:
        """Why its password may not be used, or nothing: its file must be of root or ours, and for nobody else."""
        path = self.password_file
        if not path:
            return "" if os.environ.get(PASSWORD) else f"no password: neither password_file nor {PASSWORD} is set"
        try:
            status = os.stat(path)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{path} belongs to user {status.st_uid}"
        mode = stat.S_IMODE(status.st_mode)
        return f"{path} may be read by others (mode {mode:04o}): chmod 0600 {path}" if mode & 0o077 else ""
