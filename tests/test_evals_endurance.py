"""evals.run under hardship: killed at any moment, and over more clips than fit into memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from evals.results import open_result
from tests.fake_corpus import comparable

ROOT = Path(__file__).resolve().parent.parent
ASKED = "run --checkpoint demo-en --corpus demo-corpus --split dev --limit 96 --lm demo-lm --precision fp32"
COMMAND = [sys.executable, "-m", "evals", *ASKED.split(), "--keep-emissions"]


def test_killed_with_signal_9_it_goes_on_and_leaves_no_process_behind(tmp_path):
    """The real thing: demo-en over the demo corpus, killed as soon as the first rows are there."""
    env = {**os.environ, "ASRDEMO_HOME": str(tmp_path / "home")}
    out = tmp_path / "killed"
    process = subprocess.Popen([*COMMAND, "--out", str(out)], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list((out / "parts").glob("part-*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it must not have been faster than the signal"
    _, alive = psutil.wait_procs(children, timeout=30)
    assert children and not alive
    assert open_result(out).info["state"] == "running" and 0 < len(list((out / "parts").iterdir())) < 12
    results = []
    for folder in (out, tmp_path / "whole"):
        done = subprocess.run([*COMMAND, "--out", str(folder)], cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        results.append(open_result(folder))
    assert comparable(results[0]) == comparable(results[1]) and results[0].complete
    assert results[0].info["pins"] == results[1].info["pins"] and results[0].info["score"] == results[1].info["score"]
    assert not list(out.rglob("*.partial"))


FLAT = """
import os, resource, sys
from pathlib import Path

import numpy as np
from asrdemo.types import Emissions
from tests import fake_corpus, fakes
from tests.fake_corpus import request, run

def hear(self, samples):
    log_probs = np.full((len(samples) // fakes.FRAME, len(fakes.VOCABULARY)), -3.3, np.float32)
    return Emissions(log_probs, fakes.VOCABULARY, 0.02, len(samples) / 16000)

fakes.FakeModel._hear = hear

folder = fake_corpus.make(Path(sys.argv[1]) / "talk", [("go home " * 4, "go home " * 4)])
one = folder / "clips" / "clip-00000.wav"
for count in map(int, sys.argv[2:]):
    lines = ["path\\tsentence"] + [f"{count}-{i}.wav\\tgo home" for i in range(count)]
    for line in lines[1:]:
        os.link(one, folder / "clips" / line.split("\\t")[0])
    (folder / "test.tsv").write_text("\\n".join(lines) + "\\n")
    result = run(request(folder, keep_emissions=True), Path(sys.argv[1]) / str(count))
    assert result.complete and result.info["clips"] == count
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """3,000 clips of 2.6 s would be 500 MB of samples and 44 MB of emissions, were they held."""
    command = [sys.executable, "-c", FLAT, str(tmp_path), "200", "3000"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    few, many = map(int, done.stdout.split())
    assert many - few < 30, f"{few} MB for 200 clips, {many} MB for 3,000"
