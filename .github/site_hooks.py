"""Hooks of mkdocs: what the site does with what lies in docs/ for other readers too.

Links from the pages to files beside docs/, which the site does not have, become their paths;
tests/install/test_documents.py holds these links to the tree. Notebooks become pages;
tests/install/test_notebooks.py runs them.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if not page.file.src_uri.startswith("notebooks/"):  # which link to themselves as files
        markdown = markdown.replace(".ipynb)", ".md)")
    if "/" in page.file.src_uri:
        return markdown
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)


def on_files(files: Any, config: Any) -> None:
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = Path(notebook.abs_src_path)
        blocks = []
        for cell in json.loads(path.read_text())["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                # Lines of a shell begin with "!".
                text = f"```bash\n{text[1:]}\n```" if text.startswith("!") else f"```python\n{text}\n```"
            blocks.append(text)
        blocks.append(f"[This page as a notebook]({path.name})")
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content="\n\n".join(blocks)))
