"""The same bytes on every machine: digests of a short chain of stages."""

import json
import os
import subprocess
import sys

from sources import ROOT

DIGESTS = {
    "encoder": "8920c620a6d13058",
    "subset": "2b89ef64c1000d2f",
    "flow": "2f4cf942a931c689",
    "flow images": "8d4ea6a1d41e3ec9",
    "adm": "a51ca4a519b2d87d",
    "adm images": "7da202ec7262dfd1",
}


def test_this_machine_makes_the_bytes_that_the_others_made():
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("workflow", "tests"))
    words = [sys.executable, str(ROOT / "tests" / "machine.py")]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert json.loads(done.stdout or "{}") == DIGESTS, done.stderr[-2000:]
