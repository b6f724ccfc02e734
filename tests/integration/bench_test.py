"""dotagent-bench, each as small as it gets: that it still runs, and says all that it is for. Its figures are not looked at."""

import json
import os
import subprocess
import unittest

from case import BIN


class BenchTest(unittest.TestCase):
    def test_revoke(self):
        done = subprocess.run([os.path.join(BIN, "dotagent-bench"), "revoke", "--json", "--resolvers", "2", "--agents", "16", "--revocations", "2"],
                              capture_output=True, text=True, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads(done.stdout)["rows"]
        self.assertEqual(len(rows), 8)
        for row in rows:
            self.assertTrue(all(figure >= 0 for figure in row["ours"]) and row["ours"], row)


if __name__ == "__main__":
    unittest.main()
