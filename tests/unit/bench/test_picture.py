"""The picture of the results is well-formed and says every figure."""

from xml.etree import ElementTree

from bench.picture import Bar, bars


def test_every_system_has_a_bar_and_its_figure() -> None:
    drawn = bars(
        [
            Bar("A", "psastream engine", 200_000, "exactly once"),
            Bar("A", "fetch <loop>", 900_000, "none"),
            Bar("B", "Kafka Streams", 50_000, "exactly once"),
        ]
    )
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"psastream engine", "fetch <loop>", "Kafka Streams"} <= set(texts)
    assert "200,000  exactly once" in texts
    assert "900,000" in texts
    lengths = [
        int(each.get("width", "0")) for each in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert max(lengths[1:]) <= 420
