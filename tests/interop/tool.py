"""Asks the C++ side of a check (words.h) through its standard input and output."""
import base64
import subprocess
import sys


def word(value):
    if isinstance(value, int):
        return str(value)
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode() or "-"


class Tool:
    def __init__(self, path):
        self.path = path
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command, *words):
        """(True, bytes), or (False, reason)."""
        self.process.stdin.write((" ".join([command, *map(word, words)]) + "\n").encode())
        self.process.stdin.flush()
        status, answer, *_ = self.process.stdout.readline().decode("utf-8").split(" ", 2) + [""]
        if status == "ok":
            return True, base64.b64decode(answer.strip())
        assert status == "refused", f"{self.path} answered {status!r} {answer!r} to {command}"
        return False, answer


def agree(ours, theirs, what):
    if ours != theirs:
        sys.exit(f"FAILED: {what}\n  python: {ours}\n  C++:    {theirs}")
