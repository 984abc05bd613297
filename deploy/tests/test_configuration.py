"""The tables of docs/configuration.md are what `--help` of the programs prints.
MODASH_TEST_WRITE=1 writes them anew."""

import os
import re
import subprocess
import unittest
from dataclasses import dataclass

from manifests import BINARIES, REPOSITORY

PAGE = REPOSITORY / "docs/configuration.md"
BEGIN, END = "<!-- settings: begin; written by `make configuration-page` -->\n", "<!-- settings: end -->\n"
SERVICES = ("modash-proxy", "modash-gateway", "modash-analytics")
# Headings of `--help` in the order of the page, with what stands below them there.
HEADINGS = {
    "Process": "Every program.",
    "Access": "Every program. More in [security.md](security.md).",
    "All in one": "`modash` only.",
    "Proxy": "`modash-proxy` and `modash`.",
    "Gateway": "`modash-gateway` and `modash`.",
    "Analytics": "`modash-analytics` and `modash`.",
}


@dataclass(frozen=True)
class Setting:
    variable: str
    flag: str
    default: str
    meaning: str


def settings(program):
    """The settings of a program by their heading, in the order of its `--help`."""
    # Without variables, whose values would be shown.
    output = subprocess.run([BINARIES / program, "--help"], env={}, check=True, capture_output=True, text=True).stdout
    found = {}
    for part in re.split(r"\n(?=[A-Z][a-z ]+:\n)", output):
        heading, _, body = part.partition(":\n")
        if heading not in HEADINGS:
            continue
        for entry in re.split(r"^ {6}(?=--)", body, flags=re.MULTILINE)[1:]:
            flag, _, text = entry.partition("\n")
            found.setdefault(heading, []).append(setting(flag.split()[0], " ".join(text.split())))
    return found


def setting(flag, text):
    def taken(pattern):
        nonlocal text
        match = re.search(pattern, text)
        if not match:
            return ""
        text = (text[: match.start()] + text[match.end() :]).strip()
        return match[1]

    variable = taken(r" ?\[env: (\w+)=?\]")
    values = taken(r" ?\[possible values: ([^\]]*)\]")
    default = taken(r" ?\[default: ([^\]]*)\]")
    if values:
        text += f": {' or '.join(values.split(', '))}"
    plain = re.fullmatch(r"[^\s;]+", default)
    if default in ('""', "") or not plain:
        default = "" if default == '""' else default
    else:
        default = f"`{default}`"
    # What a table or a page would take for something else.
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return Setting(variable, flag, default, text)


def tables():
    every = {program: settings(program) for program in ("modash", *SERVICES)}
    lines = []
    for heading, programs in HEADINGS.items():
        lines += [f"## {heading}", "", programs, "", "| variable, flag | default | meaning |", "|---|---|---|"]
        together = dict.fromkeys(row for found in every.values() for row in found.get(heading, []))
        for row in together:
            names = f"`{row.variable}`<br>`{row.flag}`" if row.variable else f"`{row.flag}`"
            inside = row in every["modash"].get(heading, [])
            alone = "" if inside else " Not in `modash`."
            lines.append(f"| {names} | {row.default or 'none'} | {row.meaning}.{alone} |".replace("..", "."))
        lines.append("")
    return "\n".join(lines)


class Configuration(unittest.TestCase):
    def test_the_page_is_what_the_programs_say(self):
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        expected = f"{before}{BEGIN}\n{tables()}{END}{after}"
        if os.environ.get("MODASH_TEST_WRITE"):
            PAGE.write_text(expected)
        self.assertTrue(page == expected or os.environ.get("MODASH_TEST_WRITE"), "run `make configuration-page`")

    def test_every_setting_has_a_variable_and_a_meaning(self):
        for program in ("modash", *SERVICES):
            for heading, rows in settings(program).items():
                for row in rows:
                    with self.subTest(program=program, heading=heading, flag=row.flag):
                        self.assertTrue(row.variable or row.flag == "--demo")
                        self.assertGreater(len(row.meaning), 10)

    def test_a_setting_is_the_same_in_every_program(self):
        meanings = {}
        for program in ("modash", *SERVICES):
            for rows in settings(program).values():
                for row in rows:
                    meanings.setdefault(row.flag, set()).add(row)
        self.assertEqual({flag: rows for flag, rows in meanings.items() if len(rows) > 1}, {})

    def test_the_example_file_has_settings_only(self):
        known = {row.variable for program in ("modash", *SERVICES) for rows in settings(program).values() for row in rows}
        example = (REPOSITORY / ".env.example").read_text()
        for variable in re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE):
            with self.subTest(variable=variable):
                self.assertTrue(variable in known or variable.startswith("OTEL_") or variable == "COMPOSE_PROFILES")

    def test_the_readme_names_settings_that_exist(self):
        known = {row.variable for rows in settings("modash").values() for row in rows}
        section = (REPOSITORY / "README.md").read_text().split("## Settings")[1].split("## ")[0]
        named = re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE)
        self.assertEqual(len(named), 10)
        self.assertLessEqual(set(named), known)


if __name__ == "__main__":
    unittest.main()
