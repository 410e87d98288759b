"""A check whether strangers can reach Ray's dashboard, which is also its job server.

Whoever reaches it without a token can run code on the cluster.
"""

import ipaddress
import logging
import socket
import urllib.error
import urllib.request

from ray._private.services import get_webui_url_from_internal_kv

from pipeline.cluster.devices import ray_nodes
from pipeline.cluster.ray_calls import ask

logger = logging.getLogger(__name__)
_SECONDS = 3.0
WHAT_TO_DO = (
    "start the cluster with --dashboard-host 127.0.0.1, or with RAY_AUTH_MODE=token on every node and here "
    "(ray get-auth-token --generate makes a token)"
)


def exposed_dashboard() -> str | None:
    """The address at which our cluster's dashboard answers without a token beyond loopback, or None.

    It sends the request that a stranger would send: the address that Ray reports tells neither whether a
    token is required nor whether the dashboard listens on all interfaces.
    """
    address = ask(get_webui_url_from_internal_kv, what="where its dashboard is")
    if not address:
        return None
    host, _, port = address.rpartition(":")
    hosts = [host.strip("[]"), *_addresses()]
    beyond = [name for name in dict.fromkeys(hosts) if not _is_loopback(name)]
    addresses = (f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in beyond)
    return next((address for address in addresses if _answers_strangers(address)), None)


def warn_if_exposed() -> None:
    """It is no error: a firewall that can't be seen from here may protect the cluster."""
    if exposed := exposed_dashboard():
        logger.warning("whoever reaches the dashboard at %s can run code here: %s", exposed, WHAT_TO_DO)


def _addresses() -> list[str]:
    """Those of the cluster's nodes, and the one from which this machine reaches other networks."""
    nodes = [str(node["NodeManagerAddress"]) for node in ray_nodes() if node["Alive"]]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address reserved for documentation; connecting sends nothing
            return [*nodes, probe.getsockname()[0]]
        except OSError:
            return nodes


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers_strangers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/api/jobs/", timeout=_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        return refusal.code not in (401, 403)
    except OSError:
        return False
