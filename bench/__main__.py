"""Measure the proxy beside Sippy and Kamailio; a complete run writes bench/results.md.

python -m bench                          everything, about 12 minutes
python -m bench --quick                  fewer and shorter steps, no held calls, no transfers, a minute
python -m bench --transfers              what transfers cost, and nothing else, about 4 minutes
python -m bench --only sipproxy,Sippy    not all systems

Only the complete run writes.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import measure, otlp, report, results, systems, transfers
from .measure import Bench, Figures, Plan
from .process import CORES, SIPP_CORE, Pinned
from .report import Run
from .systems import SYSTEMS, CannotStart, System


def main() -> int:
    arguments = _arguments()
    names = arguments.only.split(",") if arguments.only else [system.name for system in SYSTEMS]
    unknown = set(names) - {system.name for system in SYSTEMS}
    if unknown:
        print(
            f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SYSTEMS)}",
            file=sys.stderr,
        )
        return 2
    if len(CORES) < 2:
        print("two cores are needed: one for the system under test, one for SIPp", file=sys.stderr)
        return 2
    faults = systems.missing(names)
    if faults:
        print("\n".join([*faults, "(--only measures some of the systems)"]), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything we started is ended
    load_before = os.getloadavg()[0]
    os.sched_setaffinity(0, {SIPP_CORE})
    chosen = [system for system in SYSTEMS if system.name in names]
    run = Run(command=" ".join(["python -m bench", *sys.argv[1:]]), versions=_versions(chosen), results={})
    run.load_before = load_before
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _receiver(Path(folder)) as port:
        bench, plan = Bench(Path(folder), port), measure.QUICK if arguments.quick else measure.FULL
        if not arguments.transfers:
            _measure(run, chosen, bench, plan)
        if arguments.transfers or plan.transfers:
            _measure_transfers(run, chosen, bench, plan)
    run.took_s = time.monotonic() - began
    return _publish(run, complete=not (arguments.quick or arguments.only or arguments.transfers))


def _measure(run: Run, chosen: list[System], bench: Bench, plan: Plan) -> None:
    run.results["direct"] = Figures()
    _say("SIPp to SIPp")
    with systems.direct() as running:
        measure.cost_and_latency(bench, running, plan, run.results["direct"], fast=False)
    holding = []
    for system in chosen:
        start = partial(systems.started, system, bench.folder(), bench.receiver_port)
        figures = Figures()
        try:
            _say(f"{system.name}: CPU and latency")
            with start() as running:
                measure.cost_and_latency(bench, running, plan, figures)
        except CannotStart as error:
            run.absent[system.name] = str(error)
            _say(f"{system.name} did not start: {error}")
            continue
        run.results[system.name] = figures
        _say(f"{system.name}: calls/s")
        measure.highest_rate(bench, start, plan, figures)
        holding.append((start, figures))
    if plan.held_calls:
        _say("memory per held call")
        measure.held_calls(bench, holding, plan)


def _measure_transfers(run: Run, chosen: list[System], bench: Bench, plan: Plan) -> None:
    for system in chosen:
        if system.package is None or system.name in run.absent:
            continue
        figures = run.results.setdefault(system.name, Figures())
        _say(f"{system.name}: transfers")
        try:
            transfers.cost(bench, system, plan, figures)
        except CannotStart as error:
            figures.faults.append(f"transfers: {error}")
        transfers.pending(bench, system, figures)


def _publish(run: Run, *, complete: bool) -> int:
    print(report.plain(report.table(run)))
    print("\n".join(["", *report.goals(run), *report.remarks(run)]))
    if not complete:
        print(f"took {run.took_s:.0f} s; not the complete run, so {results.RESULTS.name} stays as it is")
        return 0
    for warning in results.write(run):
        print(f"WARNING: worse by more than 10 %: {warning}")
    print(f"took {run.took_s:.0f} s; written to {results.RESULTS.relative_to(systems.ROOT)}")
    return 0


def _versions(chosen: list[System]) -> list[str]:
    return [
        *(system.version() for system in chosen),
        systems.sipp_version(),
        f"Python {platform.python_version()}",
    ]


@contextmanager
def _receiver(folder: Path) -> Iterator[int]:
    """Run the OTLP receiver beside SIPp and yield its port."""
    with Pinned(
        [sys.executable, "-m", otlp.__name__], core=SIPP_CORE, log=folder / "otlp.log", cwd=systems.ROOT
    ) as process:
        for _ in range(100):
            if process.wait(0.05) is not None:
                break
            if process.log.read_text().endswith("\n"):
                yield int(process.log.read_text())
                return
        raise OSError(f"the OTLP receiver did not start: {process.log.read_text()}")


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer and shorter steps, no held calls, no transfers; writes nothing",
    )
    parser.add_argument(
        "--transfers", action="store_true", help="what transfers cost, and nothing else; writes nothing"
    )
    parser.add_argument(
        "--only", metavar="NAMES", help="some of " + ",".join(s.name for s in SYSTEMS) + "; writes nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
