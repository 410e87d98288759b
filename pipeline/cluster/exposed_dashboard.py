"""Ray's dashboard is also its job server: whoever reaches it without a token runs code on the cluster."""

import ipaddress
import logging
import socket
import urllib.error
import urllib.request

import ray
from ray._private.services import get_webui_url_from_internal_kv

logger = logging.getLogger(__name__)
_SECONDS = 3.0
WHAT_TO_DO = (
    "start the cluster with --dashboard-host 127.0.0.1, or with RAY_AUTH_MODE=token on every node and here "
    "(ray get-auth-token --generate makes a token)"
)


def exposed_dashboard() -> str | None:
    """Where the dashboard of the cluster that we are connected to serves beyond loopback without a token.

    Found by asking it, as a stranger would: the address it gives out says nothing of a token, and not always
    that it listens on all addresses. None where it doesn't answer, or asks for a token.
    """
    address = get_webui_url_from_internal_kv()
    if not address:
        return None
    host, _, port = address.rpartition(":")
    hosts = [host.strip("[]"), *_addresses()]
    beyond = [name for name in dict.fromkeys(hosts) if not _is_loopback(name)]
    places = (f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in beyond)
    return next((place for place in places if _answers_strangers(place)), None)


def warn_if_exposed() -> None:
    """Not a refusal: a firewall that can't be seen from here may stand before the cluster."""
    if exposed := exposed_dashboard():
        logger.warning("whoever reaches the dashboard at %s can run code here: %s", exposed, WHAT_TO_DO)


def _addresses() -> list[str]:
    """Of the cluster's nodes and of this machine's way out."""
    nodes = [str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
        try:
            way_out.connect(("192.0.2.1", 9))  # an address of documentation; connecting sends nothing
            return [*nodes, way_out.getsockname()[0]]
        except OSError:
            return nodes


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers_strangers(place: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}/api/jobs/", timeout=_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        return refusal.code not in (401, 403)
    except OSError:
        return False
