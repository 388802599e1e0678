"""A trainer without training, for tests/test_finetune_runs.py: steps, checkpoints, and what can go wrong.

    python -m stand_in_trainer RECIPE --run DIR [--resume]

Variables: STEPS and PACE (steps, seconds each), ENDS (`fail`, `crash`: at step 3; `deaf`: never looks whether to stop),
FORKS (a forked child that outlives it, as a data loader's may).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from asrdemo.errors import TrainingError
from asrdemo.finetune import runs

STEPS, PACE = int(os.environ.get("STEPS", "20")), float(os.environ.get("PACE", "0.02"))
ENDS = os.environ.get("ENDS", "")


def last_step(folder: Path, resume: bool) -> int:
    found = [int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")] if resume else []
    return max(found, default=0)


def checkpoint(folder: Path, step: int) -> None:
    made = folder / f".checkpoint-{step}"
    made.mkdir(exist_ok=True)
    (made / "state.json").write_text(json.dumps({"step": step}))
    made.rename(folder / f"checkpoint-{step}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    with runs.Live(args.run) as live:
        step = last_step(args.run, args.resume)
        print(f"begins at step {step} as process {os.environ.get('RANK', '0')}", flush=True)
        if "FORKS" in os.environ and os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        live.report(1, 2, "preparing audio")
        with (args.run / "metrics.jsonl").open("a") as out:
            while step < STEPS and not (live.stop_asked and ENDS != "deaf"):
                time.sleep(PACE)
                step += 1
                out.write(json.dumps({"step": step, "loss": 1 / step}) + "\n")
                out.flush()
                live.progress(step, STEPS)
                if step == 3 and ENDS == "fail":
                    raise TrainingError("The loss is not a number since step 3. Lower the rate.")
                if step == 3 and ENDS == "crash":
                    raise RuntimeError("CUDA error: out of memory\nwith many more lines")
                if step % 5 == 0 and os.environ.get("RANK", "0") == "0":
                    checkpoint(args.run, step)
        if live.stop_asked and os.environ.get("RANK", "0") == "0":
            checkpoint(args.run, step) if not (args.run / f"checkpoint-{step}").exists() else None
        print(f"ends at step {step}", flush=True)


if __name__ == "__main__":
    main()
