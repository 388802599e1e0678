"""What trains inside the pretended machine of tests/test_finetune_jobs.py: writes what a trainer writes, hears nothing.

    python -m stand_in_job_trainer RECIPE --run DIR

The recipe's seed is the number of steps; its `language` `xx` makes it fail.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from asrdemo import registry
from asrdemo.errors import TrainingError
from asrdemo.finetune import recipe as recipes
from asrdemo.finetune.live import Live


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    args = parser.parse_args()
    recipe = recipes.load(args.recipe)
    known = registry.read()
    where = {id: str(spec.path) for id, spec in (known.corpora | known.checkpoints).items()}
    print(json.dumps({"known": where, "here": [Path(s.folder).exists() for s in recipe.dev]}), flush=True)
    with Live(args.run) as live:
        (args.run / "recipe.json").write_text(json.dumps(recipes.as_dict(recipe)))
        for step in range(1, recipe.seed + 1):
            time.sleep(0.05)
            live.progress(step, recipe.seed)
            print(f"step {step}", flush=True)
            with (args.run / "metrics.jsonl").open("a") as out:
                out.write(json.dumps({"step": step, "loss": 1 / step}) + "\n")
        if recipe.language == "xx":
            raise TrainingError("there is no such language")
        (args.run / "best").mkdir()
        (args.run / "best" / "config.json").write_text("{}")
        (args.run / "best" / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
        (args.run / "best.json").write_text(json.dumps({"step": recipe.seed}))


if __name__ == "__main__":
    main()
