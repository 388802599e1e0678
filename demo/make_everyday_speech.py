"""Synthesise everyday sentences with training voices: `python -m demo.make_everyday_speech --out DIR`.

More sets beside those of demo.make_training_speech, in the demo corpus's domain: sentences from the same templates,
none of them reserved for its dev and test, spoken by training voices. The same arguments give the same sets.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

from demo.everyday import everyday, reserved
from demo.make_training_speech import Recipe, make_set, plan

SETS = {
    "everyday": Recipe("everyday", {"espeak": 6000, "flite": 500}, rate=(0.8, 1.2), sentences=(1, 1, 1, 2)),
    "everyday_kokoro": Recipe("everyday", {"kokoro": 1500}, rate=(0.8, 1.15)),
}


def sentence(random: np.random.Generator) -> str:
    """One sentence that dev and test do not hold."""
    while reserved(text := everyday(random)):
        pass
    return text


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", choices=list(SETS), help="default: all of them")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="stop a set after this long")
    parser.add_argument("--seed", type=int, default=2611)
    options = parser.parse_args(arguments)
    for name in options.set or list(SETS):
        folder = options.out / name
        if folder.exists():
            shutil.rmtree(folder)
        jobs = plan(folder, sentence, SETS[name], options.seed + list(SETS).index(name))
        clips, hours = make_set(folder, jobs, options.workers, options.minutes)
        print(f"{name}: {clips} clips, {hours:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
