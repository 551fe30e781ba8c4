"""Network namespaces without names: gone with the last process in them, also when the test is killed.

require_namespaces("ip", "tc", packages="iproute2")
with ExitStack() as stack:
    there = namespace(stack)
    with inside(there):
        run("ip", "link", "set", "lo", "up")    # sockets and processes that are made here stay there
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from .programs import missing

_HERE = "/proc/thread-self/ns/net"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_NEEDED = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_libc = ctypes.CDLL(None, use_errno=True)


def require_namespaces(*programs: str, packages: str) -> None:
    """Skips, with the reason, where this user cannot make them, or one of the programs is missing."""
    gone = [name for name in programs if shutil.which(name) is None]
    if gone:
        missing(f"no {' and no '.join(gone)} on this machine (Debian: apt-get install {packages})")
    with open("/proc/self/status") as status:
        [effective] = [int(line.split()[1], 16) for line in status if line.startswith("CapEff:")]
    if not all(effective >> number & 1 for number in _NEEDED.values()):
        pytest.skip(f"network namespaces need root ({' and '.join(_NEEDED)})")


def namespace(stack: ExitStack) -> int:
    """A new one, held open by a descriptor. This thread goes back to where it was."""
    home = os.open(_HERE, os.O_RDONLY)
    try:
        if _libc.unshare(_NEW_NETWORK):
            pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
        try:
            made = os.open(_HERE, os.O_RDONLY)
            stack.callback(os.close, made)
        finally:
            _enter(home)
    finally:
        os.close(home)
    return made


@contextmanager
def inside(there: int) -> Iterator[None]:
    """This thread, and what it starts, is in that namespace meanwhile."""
    home = os.open(_HERE, os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def run(*command: str) -> None:
    """A command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def _enter(there: int) -> None:
    if _libc.setns(there, _NEW_NETWORK):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
