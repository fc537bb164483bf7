"""One resource of a Redfish service.

urllib3, because it costs 0.13 s of CPU where requests, httpx, redfish and sushy cost 0.2 to 0.3; it has a limit for
connecting and one for reading, can pin the certificate that a BMC has signed itself, and never goes to another host.
"""

from __future__ import annotations

import json
import os
from typing import Any

MOST = 1 << 20  # bytes of one resource
CONNECT_S, READ_S = 5, 10
REASONS = {
    401: "user or password is wrong (401)",
    403: "this user may not see it (403)",
    503: "the service is busy (503)",
}
_pools: dict[str, Any] = {}


def read(root: str, path: str, how: str) -> Any:
    """What the service says at ``/redfish/v1/Chassis/1/Power``. how: hosts.bmc.Bmc.redfish, as JSON.

    Raises FileNotFoundError where it has no such resource, PermissionError where we may not see it, OSError where it
    cannot be reached, does not answer or says what is no JSON. Connections are kept: one costs an old BMC a second.
    """
    import urllib3
    from urllib3.exceptions import HTTPError

    if how not in _pools:
        _pools[how] = _pool(urllib3, json.loads(how))
    pool, headers = _pools[how]
    once = urllib3.Retry(connect=0, read=0, other=0, redirect=2, status=1, status_forcelist=(503,), backoff_factor=1,
                         respect_retry_after_header=False, raise_on_status=False)  # fmt: skip
    try:
        response = pool.urlopen("GET", path, headers=headers, retries=once, preload_content=False)
        try:
            status, data = response.status, response.read(MOST + 1)
        finally:
            # What is left unread would be taken for the answer to the next question.
            response.drain_conn() if response.status != 200 else response.release_conn()
    except (HTTPError, OSError, ValueError) as error:
        raise OSError(_why(urllib3, error)) from None
    if status == 404:
        raise FileNotFoundError(2, "no such resource")
    if status in (401, 403):
        raise PermissionError(13, REASONS[status])
    if status != 200:
        raise OSError(REASONS.get(status, f"it answers {status}"))
    if len(data) > MOST:
        raise OSError("its answer is larger than 1 MiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise OSError("its answer is not JSON") from None


def _pool(urllib3: Any, how: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    secret = os.environ.get("IPMITOOL_PASSWORD", "")
    if how["password_file"]:
        with open(how["password_file"], encoding="utf-8") as file:
            secret = file.readline().rstrip("\r\n")
    limits = {"timeout": urllib3.Timeout(connect=CONNECT_S, read=READ_S), "maxsize": 1, "port": how["port"] or None}
    headers = urllib3.make_headers(basic_auth=f"{how['user']}:{secret}") | {"Accept": "application/json"}
    if how["plain"]:
        return urllib3.HTTPConnectionPool(how["address"], **limits), headers
    trust: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": how["ca_file"] or None}
    if how["fingerprint"]:
        trust = {"cert_reqs": "CERT_NONE", "assert_fingerprint": how["fingerprint"]}
    return urllib3.HTTPSConnectionPool(how["address"], **trust, **limits), headers


def _why(urllib3: Any, error: Exception) -> str:
    """One line; the library's own words name objects."""
    reason = getattr(error, "reason", None) or error
    words = {
        "ConnectTimeoutError": f"no connection within {CONNECT_S} s",
        "ReadTimeoutError": f"no answer within {READ_S} s",
        "NewConnectionError": "nobody listens there, or there is no way to it",
        "NameResolutionError": "its name is not known",
        "HostChangedError": "it sends us to another host",
    }
    if type(reason).__name__ == "SSLError":
        said = str(reason)
        if "ingerprint" in said:
            return "its certificate is another than bmc.fingerprint says"
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return "its certificate is not one that we trust: set bmc.fingerprint (its SHA-256) or bmc.ca_file"
    return words.get(type(reason).__name__, f"{type(reason).__name__}: {str(reason)[:120]}")
