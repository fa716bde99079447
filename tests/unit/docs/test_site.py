"""The site builds without a warning, links lead somewhere, nothing is loaded from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.unit.docs.pages import ROOT

# A page may link to other sites; what it loads must be its own.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src")}
LINKS = LOADED | {("a", "href")}


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.ids: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if (tag, name) in LINKS and value:
                self.links.append((tag, value))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: mkdocs would not count the warnings, and --strict find none.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    built = subprocess.run(
        [*command, "--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return {path.resolve(): Page(path) for path in folder.rglob("*.html")}


def test_every_link_leads_somewhere(site):
    broken = []
    for page in site.values():
        if page.path.name == "404.html":  # served at any address, hence with absolute links
            continue
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            if target.is_dir():
                target /= "index.html"
            found = target.exists()
            if found and parts.fragment and target.suffix == ".html" and tag == "a":
                found = unquote(parts.fragment) in site[target.resolve()].ids
            if not found:
                broken.append(f"{page.path.parent.name}: {link}")

    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site):
    elsewhere = {
        link
        for page in site.values()
        for tag, link in page.links
        if tag != "a" and urlsplit(link).netloc
    }

    assert elsewhere == set()


def test_the_readme_links_to_what_is_there():
    readme = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", readme)

    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
