"""Links of all pages lead somewhere, and what the two pages for developers name is in the tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOR_DEVELOPERS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
FOLDERS = ("csrc", "swin_umamba_ext", "python", "tests", "benchmarks", "docs", ".ci")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"[\w.*-]*(/[\w.*-]*)+|[\w*-]+\.(py|h|cpp|cu|def|md|txt|toml|so|json|html|log)|\.[\w-]+")
# What an installation or a run makes.
MADE = {".venv", "train.log", "report.html", "_C*.so"}


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`]+)`", FENCED.sub("", page.read_text()))


def drawn_paths(page: Path) -> list[str]:
    """Of trees of folders, which are blocks without a language."""
    drawings = [block for block in FENCED.findall(page.read_text()) if block.startswith("```\n")]
    return [word for block in drawings for word in re.findall(r"[\w./]*\w/?", block) if PATH.fullmatch(word)]


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def tree() -> list[Path]:
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    return [*ROOT.iterdir(), *below]


@pytest.fixture(scope="module")
def words(tree) -> set[str]:
    kinds = {".py", ".h", ".cpp", ".cu", ".def", ".txt", ".toml", ".sh", ""}
    sources = [path for path in tree if path.is_file() and path.suffix in kinds and path.name != Path(__file__).name]
    return {word for path in sources for word in re.findall(r"\w+", path.read_text(errors="replace"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r'(?:\]\(|src=")([^)"\s]+)', FENCED.sub("", page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}, a heading that is not there"


def test_docstrings_are_in_the_language_of_the_site():
    """Which is Markdown: roles and directives of reStructuredText would be shown as they are."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    foreign = re.compile(r":[\w:]+:`|`_\b|^\s*\.\. |::$", re.MULTILINE)
    shown = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for folder in ("python", "swin_umamba_ext")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented) and foreign.search(ast.get_docstring(node) or "")
    ]
    assert shown == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.name)
def test_paths_are_in_the_tree(page, tree):
    missing = []
    for named in {*filter(PATH.fullmatch, code_spans(page)), *drawn_paths(page)} - MADE:
        pattern = named.replace("NAME", "*").rstrip("/")
        if not any(path.match(pattern) or path.suffix == named for path in tree):
            missing.append(named)
    assert missing == [], f"{page.name} names paths that are not in the tree"


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.name)
def test_names_are_in_the_sources(page, words):
    spans = [span for span in code_spans(page) if not PATH.fullmatch(span)]
    named = {word for span in spans for word in re.findall(r"\w{3,}", span) if "NAME" not in word}
    assert sorted(named - words) == [], f"{page.name} has names that no source has"


def test_the_readme_links_to_every_page():
    text = (ROOT / "README.md").read_text()
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"}  # which is the README of the site
    assert sorted(page for page in pages if f"](docs/{page}" not in text) == []


def test_every_dependency_has_its_reason():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"": project["dependencies"], **project["optional-dependencies"]}
    names = {extra: {re.match(r"[\w-]+", wish)[0] for wish in wishes} for extra, wishes in wanted.items()}

    page = (ROOT / "docs" / "dependencies.md").read_text()
    listed, extra = {}, ""
    for row in re.findall(r"^\| (?!package |extra |-)(.+) \|$", page, re.MULTILINE):
        first, *cells = (cell.strip() for cell in row.split("|"))
        is_extra = len(cells) == 2
        extra = first.strip("`") or extra if is_extra else ""
        packages = re.sub(r"\(.*?\)", "", cells[0] if is_extra else first).split(",")
        listed.setdefault(extra, set()).update(name.strip() for name in packages)
    assert listed == {extra: found - {project["name"]} for extra, found in names.items()}


def test_the_version_is_the_same_wherever_it_stands():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_the_site_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    assert sorted(page for page in pages if f": {page}\n" not in text) == []
