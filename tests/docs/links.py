"""`python -m tests.docs.links`: whether every link of the repository's pages leads somewhere.

Looked at are all Markdown files and the notebooks' Markdown cells: a relative link must name a file or a
folder of the repository, and what stands behind # a heading of that page, as code hosts name it. Nothing is
fetched.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINKS = (
    re.compile(r"!?\[(?:[^\[\]]|!?\[[^\]]*\]\([^)]*\))*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)"),
    re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)"),  # a picture that is itself the text of a link
    re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)", re.MULTILINE),
    re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\""),
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def main() -> None:
    problems = [problem for page in pages(ROOT) for problem in broken(ROOT, page)]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    sys.exit(1 if problems else 0)


def pages(root: Path) -> list[Path]:
    """The Markdown files and notebooks that are in git, or are about to be."""
    names = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ipynb")
    return sorted({path for name in names if (path := root / name).is_file()})


def broken(root: Path, page: Path) -> Iterator[str]:
    """A sentence for each link of a page that leads nowhere."""
    for target in dict.fromkeys(links(text_of(page))):
        if _ELSEWHERE.match(target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (root / path.lstrip("/") if path.startswith("/") else page.parent / path) if path else page
        where = f"{page.relative_to(root)}: {target}"
        if not file.resolve().is_relative_to(root.resolve()) or not file.exists() or _ignored(root, file):
            yield f"{where}: no such file in the repository"
        elif anchor and file.suffix in (".md", ".ipynb") and anchor not in anchors(text_of(file)):
            yield f"{where}: no such heading"


def _ignored(root: Path, file: Path) -> bool:
    """Whether git leaves the file out, so that it is on this machine alone."""
    return bool(_git(root, "check-ignore", str(file)))


def _git(root: Path, *arguments: str) -> list[str]:
    found = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if found.returncode > 1:
        sys.exit(f"links: {found.stderr.strip()}")
    return found.stdout.splitlines()


def text_of(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links(text: str) -> list[str]:
    """The targets of all links and pictures, but for what stands in code."""
    # The text of a link may hold code; so what stands in the quotes goes, and they stay.
    plain = _CODE.sub(lambda code: "``" if code[1] is None else "", text)
    return [target for pattern in _LINKS for target in pattern.findall(plain)]


def anchors(text: str) -> set[str]:
    """How a code host names the headings: small letters, dashes for spaces, -1 for the second of a name."""
    found: set[str] = set()
    without_blocks = _CODE.sub(lambda code: code[0] if code[1] is None else "", text)
    for heading in re.findall(r"^#{1,6} +(.+?) *#* *$", without_blocks, re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        numbered = (name if not number else f"{name}-{number}" for number in range(len(found) + 1))
        found.add(next(one for one in numbered if one not in found))
    return found | set(re.findall(r"<a\b[^>]*?\b(?:id|name)=\"([^\"]+)\"", without_blocks))


if __name__ == "__main__":
    main()
