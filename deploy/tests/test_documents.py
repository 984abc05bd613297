"""README.md and docs held against each other and against the source; test_document_commands.py
runs their commands."""

import json
import re
import tomllib
import unittest

import documents
import yaml
from manifests import REPOSITORY

# `sh` and `python` are run unless marked. What looks like a command stands in no other block.
LANGUAGES = {"sh", "python", "js", "toml", "json", "yaml", "ini", "nginx", "rust", "sql", "text"}


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in documents.pages():
            here = REPOSITORY / page
            for link in documents.links(page):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = (here.parent / path).resolve() if path else here
                with self.subTest(page=page, link=link):
                    self.assertTrue(target.exists(), "there is no such file")
                    if anchor and target.suffix == ".md":
                        self.assertIn(anchor, documents.anchors(target))

    def test_the_index_leads_to_every_page(self):
        linked = {link.partition("#")[0] for link in documents.links("docs/README.md")}
        for path in (REPOSITORY / "docs").glob("*.md"):
            if path.name != "README.md":
                self.assertIn(path.name, linked)

    def test_the_readme_is_short(self):
        self.assertLess(len(documents.text("README.md").splitlines()), 200)

    def test_a_block_says_what_it_is_and_why_it_is_not_run(self):
        for page in documents.pages():
            for block in documents.blocks(page):
                with self.subTest(block=str(block)):
                    self.assertIn(block.language, LANGUAGES)
                    if block.language not in ("sh", "python"):
                        self.assertEqual(block.not_run, "")
                        looks_run = re.search(r"^(\$ |make |curl |docker |cargo |modash(-\w+)? )", block.body, re.MULTILINE)
                        self.assertIsNone(looks_run, "a command stands in a block of sh")

    def test_blocks_of_data_can_be_parsed(self):
        parse = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load}
        for page in documents.pages():
            for block in documents.blocks(page):
                if block.language in parse:
                    with self.subTest(block=str(block)):
                        self.assertTrue(parse[block.language](block.body))

    def test_texts_of_errors_are_those_of_the_source(self):
        compared = 0
        for head, rows in documents.tables("docs/troubleshooting.md"):
            if head[0] != "text":
                continue
            for row in rows:
                for quoted in re.findall(r"`([^`]+)`", row[0]):
                    for part in filter(None, (part.strip(" ,") for part in quoted.split("…"))):
                        compared += 1
                        with self.subTest(text=quoted):
                            self.assertIn(part, documents.source())
        self.assertGreater(compared, 40)

    def test_dialects_are_those_of_metering_in_their_order(self):
        table = (REPOSITORY / "services/metering/src/dialect.rs").read_text()
        order = re.findall(r"^    \w+ = (\w+)::(\w+);$", table, re.MULTILINE)
        ids = []
        for module, constant in order:
            code = (REPOSITORY / f"services/metering/src/dialects/{module}.rs").read_text()
            part = re.split(rf"\b{constant}: Wire\b", code)[1]
            ids.append(re.search(r'id: "([^"]+)"', part)[1])
        (_, rows), = documents.tables("docs/dialects.md")
        self.assertEqual([row[0].strip("`") for row in rows], ids)


if __name__ == "__main__":
    unittest.main()
