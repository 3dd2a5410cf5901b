from __future__ import annotations

from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import Binary, Tag, postorder, terms


def test_nodes_come_after_their_operands_left_before_right():
    text = "a + b * c > 1 for 5s"
    order = [text[node.start : node.end] for node in postorder(parse(text))]
    assert order == ["a", "b", "c", "b * c", "a + b * c", "1", "a + b * c > 1", "a + b * c > 1 for 5s"]


def test_a_chain_deeper_than_pythons_stack_is_walked():
    root: Tag | Binary = Tag(0, 1, "a")
    for _ in range(100_000):
        root = Binary(0, 1, "+", root, Tag(0, 1, "a"))
    order = postorder(root)
    assert len(order) == 200_001
    while isinstance(root, Binary):  # taken apart here, because freeing it recursively would overflow the C stack
        order.clear()
        root = root.left


def test_terms_are_what_is_read_of_the_plant_in_the_order_of_the_text():
    text = "max(rate(a, 60s), b) > 1 and not stale(c) or quality(a) < 2"
    assert [text[node.start : node.end] for node in terms(parse(text))] == [
        "rate(a, 60s)",
        "b",
        "stale(c)",
        "quality(a)",
    ]
