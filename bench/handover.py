"""What handing over costs the signalling process per call, and what memory the observer takes.

    python -m bench.handover [--rate N] [--seconds N] [--messages N]

Calls are facts and messages, made at an even rate in one process; a real observer stores them in a folder
that is removed. Making calls, spans and messages is timed apart and taken off; so is what the loop costs, by
a run that hands nothing over. What is left is packing, sending and hearing acknowledgements.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import uvloop

from sipproxy.sip.flow import UDP, Flow
from tests.support.station import Station

_AT_ONCE = 10  # calls
_MESSAGE = b"\r\n".join(
    (
        b"INVITE sip:alice@sip.example.com SIP/2.0",
        b"Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK-1",
        b"From: <sip:bob@192.0.2.1>;tag=1",
        b"To: <sip:alice@sip.example.com>",
        b"Call-ID: %s",
        b"CSeq: 1 INVITE",
        b"Contact: <sip:bob@192.0.2.1>",
        b"X-Filler: " + b"x" * 500,
        b"Content-Length: 0",
        b"",
        b"",
    )
)
_FACTS_CALLEE = "0123456789abcdef0123456789abcdef"  # in all calls of tests.unit.telemetry.facts
_FLOW = Flow(UDP, "192.0.2.1", 5070, 0)


async def us_per_call(rate: int, seconds: int, messages: int, *, handing_over: bool) -> tuple[float, str]:
    """CPU of this process per call, without what making the calls takes; and what the observer says."""
    count, making = rate * seconds, 0.0
    with tempfile.TemporaryDirectory() as folder:
        async with Station(Path(folder)) as it:
            await it.until(lambda: it.page)
            began_cpu, began = time.process_time(), time.monotonic()
            for made in range(0, count, _AT_ONCE):
                at = time.process_time()
                calls = []
                for _ in range(_AT_ONCE):
                    call = it.call()
                    batches = call.basic()
                    for facts in batches:
                        for fact in facts:
                            if getattr(fact, "call_id", "") == _FACTS_CALLEE:
                                fact.call_id = f"{call.root.span_id:0>32}"  # type: ignore[union-attr]
                    calls.append((batches, _MESSAGE % call.request.call_id.encode()))
                making += time.process_time() - at
                for batches, data in calls:
                    at = time.process_time()
                    now = time.monotonic()
                    finished = [it.book.take(facts, now) for facts in batches]
                    for number in range(messages):
                        it.tap.saw(data, _FLOW, now, sent=number % 2 == 0)
                    making += time.process_time() - at
                    if handing_over:
                        for records in finished:
                            it.handover.put(records)
                await asyncio.sleep(max(0.0, began + (made + _AT_ONCE) / rate - time.monotonic()))
            if handing_over:
                await it.everything_is_stored()
            used = time.process_time() - began_cpu - making
            figures = it.handover.figures()
            said = f"dropped {figures['spans_dropped']} spans, {figures['messages_dropped']} messages"
            return used / count * 1e6, f"observer: {memory_mb(await it.observer())} MB, {said}"


def memory_mb(pid: int) -> int:
    """At most, so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Both runs, and the difference."""
    parser = argparse.ArgumentParser(description="What handing over costs per call.")
    parser.add_argument("--rate", type=int, default=1000, help="calls per second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--messages", type=int, default=14, help="SIP messages per call")
    options = parser.parse_args()

    def measured(handing_over: bool) -> tuple[float, str]:
        return uvloop.run(
            us_per_call(options.rate, options.seconds, options.messages, handing_over=handing_over)
        )

    without, _ = measured(False)
    with_it, said = measured(True)
    print(f"{options.rate} calls/s, {options.messages} messages each, {options.seconds} s")
    own = f"{with_it:.1f}, of which {without:.1f} are the loop's own"
    print(f"handing over: {with_it - without:.1f} us of CPU per call ({own})")
    print(said)


if __name__ == "__main__":
    main()
