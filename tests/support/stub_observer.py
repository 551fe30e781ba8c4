"""A process in place of the observer, run by path: `stub_observer.py WHAT DESCRIPTOR`.

stores   acknowledges every parcel, ends with the worker
ends     with exit code 3, at once
closes   the connection, and lives on
garbles  says what nobody understands, and ends with the worker
hangs    reads nothing
lingers  stores, and does not end, as with a collector that does not answer
tells    writes its orders' boot and what signals it does not hear to FOLDER, and stores
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

from sipproxy.net.frames import ACK, END, PARCEL, FrameReader, frame
from sipproxy.observer.orders import Orders


def store(connected: socket.socket) -> None:
    reader = FrameReader()
    while data := connected.recv(1 << 16):
        for kind, number, _ in reader.feed(data):
            if kind == PARCEL and number:
                connected.sendall(frame(ACK, number))
            if kind == END:
                return


def main(what: str, descriptor: str) -> int:
    connected = socket.socket(fileno=int(descriptor))
    if what == "ends":
        return 3
    if what == "closes":
        connected.close()
        time.sleep(60)
    if what == "hangs":
        time.sleep(60)
    if what == "garbles":
        connected.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    if what == "tells":
        orders = Orders.read(sys.stdin.buffer)
        deaf = sorted(signal.Signals(number).name for number in signal.pthread_sigmask(signal.SIG_BLOCK, []))
        (orders.folder / "told.new").write_text("\n".join([orders.boot, *deaf]))
        Path(orders.folder / "told.new").rename(orders.folder / "told")
    store(connected)
    if what == "lingers":
        time.sleep(60)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
