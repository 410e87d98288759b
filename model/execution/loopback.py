"""Keeps the ranks of a replica, which are on one machine, on its loopback interface."""

import os
import socket


def stay_on_loopback() -> None:
    """Set it in the environment of this process and of its children, where the user has not set another."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    # "=": no name that only begins so. NCCL meets over a socket; GPUs then exchange tensors over NVLink, PCIe
    # or shared memory, and over a socket, not InfiniBand, where they can do none of these.
    os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={loopback}")
    os.environ.setdefault("NCCL_NET", "Socket")
