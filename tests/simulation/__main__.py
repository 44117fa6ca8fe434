"""`python -m tests.simulation --seeds N`: plays N seeds; one that fails prints its trace and ends the run with 1."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import structlog

from tests.simulation.play import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds to play")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--steps", type=int, default=60, help="how many things happen in each")
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
            sys.stdout.write(f"seed {seed} holds ({took:.1f} s)\n")
        sys.stdout.flush()
    sys.stdout.write(f"{options.seeds - len(failed)} of {options.seeds} seeds hold; failed: {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
