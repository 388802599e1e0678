"""Synthesise everyday sentences with training voices: `python -m demo.make_everyday_speech --out DIR`.

One more set beside those of demo.make_training_speech, in the demo corpus's domain: sentences from the same templates,
none of them reserved for its dev and test, spoken by training voices. The same arguments give the same set.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

from demo.everyday import everyday, reserved
from demo.make_training_speech import Recipe, make_set, plan

RECIPE = Recipe("everyday", {"espeak": 1800, "flite": 200}, rate=(0.8, 1.2), sentences=(1, 1, 1, 2))


def sentence(random: np.random.Generator) -> str:
    """One sentence that dev and test do not hold."""
    while reserved(text := everyday(random)):
        pass
    return text


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="stop after this long")
    parser.add_argument("--seed", type=int, default=2611)
    options = parser.parse_args(arguments)
    folder = options.out / "everyday"
    if folder.exists():
        shutil.rmtree(folder)
    clips, hours = make_set(folder, plan(folder, sentence, RECIPE, options.seed), options.workers, options.minutes)
    print(f"everyday: {clips} clips, {hours:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
