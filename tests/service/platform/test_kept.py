"""What was used last."""

from service.platform.kept import Kept


def test_beyond_its_weight_what_was_used_longest_ago_goes() -> None:
    kept = Kept[str, bytes](10, len)
    for key in "abc":
        kept.put(key, key.encode() * 3)
    assert kept.get("a") == b"aaa"
    kept.put("d", b"dddd")
    assert [kept.get(key) for key in "abcd"] == [b"aaa", None, b"ccc", b"dddd"]


def test_another_value_takes_the_place_and_the_weight_of_the_one_before() -> None:
    kept = Kept[str, bytes](10, len)
    kept.put("a", b"a")
    for _ in range(20):
        kept.put("b", b"bbbbbb")
    assert kept.get("a") == b"a"
    kept.put("b", b"b" * 11)
    assert (kept.get("a"), kept.get("b")) == (None, None)
