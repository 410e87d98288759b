"""Links of the pages to files of the repository that are no pages, such as ../benchmarks/engine.md.

A code host follows them. On the site, which holds the pages alone, pictures are taken in, and other links
become links into the repository, if mkdocs.yml names a repo_url, or the name of the file.
"""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|!?\[[^\]]*\]\([^)]*\))*)\]\(\.\./([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Take in the pictures that lie outside of docs/."""
    from mkdocs.structure.files import File  # of the extra docs, which tests don't install

    root = Path(config.docs_dir).parent
    for page in list(files.documentation_pages()):
        for picture, _, path in _LINK.findall(page.content_string):
            name = f"outside/{path}"
            if picture and files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    def on_the_site(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if picture:
            return f"![{text}](outside/{path})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        file = f"`{path.partition('#')[0]}`"
        return text if file.strip("`") in text else f"{text} ({file})"

    return _LINK.sub(on_the_site, markdown)
