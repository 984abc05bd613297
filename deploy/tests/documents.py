"""README.md and docs as their tests read them: blocks, links, tables, texts of the source."""

import functools
import re
from dataclasses import dataclass

from manifests import REPOSITORY


def pages():
    """All pages that people read, by their paths in the repository."""
    found = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    found += [REPOSITORY / folder / "README.md" for folder in ("examples", "migrations", "web")]
    found += (REPOSITORY / "services").glob("*/fuzz/README.md")
    return [path.relative_to(REPOSITORY).as_posix() for path in sorted(found)]


def text(page):
    return (REPOSITORY / page).read_text()


@dataclass(frozen=True)
class Block:
    """A block between fences."""

    page: str
    line: int
    language: str
    # Why the test does not run it; empty: it does.
    not_run: str
    body: str

    def __str__(self):
        return f"{self.page}:{self.line}"


@functools.cache
def blocks(page):
    found, opened = [], None
    for number, line in enumerate(text(page).splitlines(), 1):
        # With another backtick in it, it would be no fence.
        fence = re.match(r"( *)```([^`]*)$", line)
        if fence and opened is None:
            language, _, rest = fence[2].partition(" ")
            opened = (number, len(fence[1]), language, rest.removeprefix("not run:").strip(), [])
        elif fence:
            start, _, language, not_run, lines = opened
            found.append(Block(page, start, language, not_run, "\n".join(lines) + "\n"))
            opened = None
        elif opened:
            opened[4].append(line[opened[1] :])
    if opened:
        raise ValueError(f"{page}:{opened[0]}: a fence is not closed")
    return found


def prose(page):
    """A page without its blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text(page), flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    found, seen = set(), {}
    without_blocks = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ +(.*?) *$", without_blocks, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def links(page):
    """Where the links and pictures of a page point to."""
    body = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", body) + re.findall(r'(?:src|srcset|href)="([^"]+)"', body)


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def tables(page):
    """Each table as its head and its rows."""
    found, current = [], None
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            current = None
        elif current is None:
            current = (cells(line), [])
            found.append(current)
        elif not re.match(r"\|[\s:|-]+\|?$", line):
            current[1].append(cells(line))
    return found


@functools.cache
def source():
    """The texts of programs and dashboard, with each run of white space as one space."""
    paths = [*(REPOSITORY / "services").glob("*/src/**/*.rs"), *(REPOSITORY / "web/src").glob("**/*.tsx")]
    joined = "\n".join(re.sub(r"\\\n\s*", "", path.read_text()) for path in paths if path.is_file())
    return re.sub(r"\s+", " ", joined.replace('\\"', '"'))
