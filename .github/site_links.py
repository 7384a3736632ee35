"""A hook of mkdocs: links from the pages to files beside docs/, which the site does not have, become their paths.

tests/install/test_documents.py holds these links to the tree.
"""

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if "/" in page.file.src_uri:
        return markdown
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)
