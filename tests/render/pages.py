"""Whether a page is sound: it parses, its names are unique, it fetches nothing and runs nothing."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "path", "rect", "link", "input"}


class _Page(HTMLParser):
    """Checks that every element is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def words_of(text: str) -> str:
    """Returns the words of a page that is sound and needs nothing else.

    Its one script keeps figures as files; the live page has a frame of its own, and tests of its own.
    """
    text = re.sub(r" srcdoc='[^']*'", "", text)
    text, scripts = re.subn(
        r"<script>function keep\(figure,kind\).*?</script>", "", text, flags=re.DOTALL
    )
    assert scripts == 1
    page = _Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(set(page.ids)) == len(page.ids)
    assert not {"script", "link", "img", "object"} & set(page.tags)
    assert page.tags.count("iframe") <= 1
    assert "http" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#hatch"} | {f"#{i}" for i in page.ids}
    for data in re.findall(r' (?:d|x|y|width|height|viewBox)="([^"]*)"', text):
        assert not re.search("nan|inf|None", data)
    return " ".join(page.words)
