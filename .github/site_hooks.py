"""Hooks of mkdocs: what the site does with what GitHub shows otherwise.

Links from the pages to files beside docs/, which the site does not have, become their paths;
tests/install/test_documents.py holds these links to the tree. Notebooks become pages with their outputs;
tests/install/test_notebooks.py runs them. The two pages of the repository's root are pages of the site too.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
OF_THE_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if not page.file.src_uri.startswith("notebooks/"):  # which link to themselves as files
        markdown = markdown.replace(".ipynb)", ".md)")
    markdown = re.sub(r"^```sbatch (\S+)$", r'```bash title="\1"', markdown, flags=re.MULTILINE)
    if "/" in page.file.src_uri:
        return markdown
    for name, uri in OF_THE_ROOT.items():
        markdown = markdown.replace(f"](../{name}", f"]({uri}")
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)


def on_files(files: Any, config: Any) -> None:
    for name, uri in OF_THE_ROOT.items():
        content = re.sub(r"\[([^\]]+)\]\((?!docs/|https?:|#)[^)]+\)", r"`\1`", (ROOT / name).read_text()).replace(
            "](docs/", "]("
        )
        files.append(File.generated(config, uri, content=content))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = Path(notebook.abs_src_path)
        blocks, pictures = [], 0
        for cell in json.loads(path.read_text())["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                # Lines of a shell begin with "!".
                text = f"```bash\n{text[1:]}\n```" if text.startswith("!") else f"```python\n{text}\n```"
            blocks.append(text)
            for output in cell.get("outputs", []):
                data = output.get("data", {"text/plain": output.get("text", "")})
                if "image/png" in data:
                    picture = f"{path.stem}_{(pictures := pictures + 1)}.png"
                    content = base64.b64decode("".join(data["image/png"]))
                    files.append(File.generated(config, f"notebooks/{picture}", content=content))
                    blocks.append(f"![{cell['metadata']['alt']}]({picture})")
                else:
                    blocks.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
        blocks.append(f"[This page as a notebook]({path.name})")
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content="\n\n".join(blocks)))
