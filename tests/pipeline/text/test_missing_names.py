"""A row's error names the key that is missing, within values too, by the template's words alone."""

import pytest

from pipeline.errors import RowError
from pipeline.text.templates import BoundedTemplate

ROW = {"a": {"x": 1}, "items": [{"price": 3}, {}], "text": "SECRET", "nothing": None, "key": "SECRET"}


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{{ a.b }}", "a.b"),
        ("{{ a.b.c }}", "a.b"),
        ("{{ a['b c'] }}", "a['b c']"),
        ("{{ items[7] }}", "items[7]"),
        ("{{ nothing.city }}", "nothing.city"),
        ("{{ text.city }}", "text.city"),
        ("{{ a[text].b }}{{ a.x }}", None),  # what `text` holds is the row's
        ("{{ a[key] }}", None),
        ("{{ a[items] }}", None),
        ("{% for item in items %}{{ item.price }}{% endfor %}", "item.price"),
        ("{% for item in items %}{{ item[key].price }}{% endfor %}", None),
        ("{{ a.b.z if a.b }}", "a.b"),
        ("{{ other }}", "other"),
        ("{{ other | default('') }}{{ a.b }}", "a.b"),
        ("{{ other | default('') }}{{ more }}{{ most }}", "more, most"),
        ("{{ a.x.y }}{{ a.y }}", "a.x.y, a.y"),
    ],
)
def test_the_missing_key_is_named(template: str, named: str | None) -> None:
    with pytest.raises(RowError) as caught:
        BoundedTemplate(template, "here").render(ROW)
    if named is None:
        sentence = "TEMPLATE_FAILED: the template looks for a key that this row does not have (its line 1)"
    else:
        sentence = f"MISSING_COLUMN: the template names {named}, which this row does not have"
    assert str(caught.value) == sentence
