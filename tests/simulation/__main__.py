"""`python -m tests.simulation --seeds N`: plays N seeds; one that fails prints its trace and ends the run with 1.

The same seed is the same play, so Python must put the members of its sets in the same order every time: the run begins
anew with its hashes fixed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import structlog

from tests.simulation.play import play

HASH_SEED = "1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds to play")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--steps", type=int, default=60, help="how many things happen in each")
    parser.add_argument("--trace", action="store_true", help="print the trace of those that hold, too")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    failed = []
    for seed in range(options.first, options.first + options.seeds):
        began = time.monotonic()
        outcome = play(seed, steps=options.steps)
        took = time.monotonic() - began
        if outcome.faults:
            failed.append(seed)
            sys.stdout.write(
                "\n".join([*outcome.trace, f"seed {seed} failed ({took:.1f} s):", *outcome.faults, ""])
            )
        else:
            if options.trace:
                sys.stdout.write("\n".join([*outcome.trace, ""]))
            sys.stdout.write(f"seed {seed} holds ({took:.1f} s)\n")
        sys.stdout.flush()
    sys.stdout.write(f"{options.seeds - len(failed)} of {options.seeds} seeds hold; failed: {failed}\n")
    return 1 if failed else 0


def fix_hashes() -> None:
    """Become a process whose hashes are the same every time."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment)


if __name__ == "__main__":
    fix_hashes()
    sys.exit(main())
