#!/usr/bin/env python3
"""The demo with the largest file that it takes, of random bytes: nothing in it can be compressed, guessed or taken for text."""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = 64 * 1024 * 1024


def main():
    with tempfile.TemporaryDirectory(prefix="dotagent-e2e-") as folder:
        path = os.path.join(folder, "random.bin")
        with open(path, "wb") as file:
            file.write(os.urandom(SIZE))
        return subprocess.run([sys.executable, str(ROOT / "demo/demo.py"), "--file", path, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
