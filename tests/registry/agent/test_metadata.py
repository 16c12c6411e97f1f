import pytest

from registry.agent.metadata import metadata_fault


def test_ordinary_pairs_are_fine() -> None:
    assert metadata_fault({"incarnation": "17", "public_url": "ws://x/y?z", "a-b_C9": ""}) is None
    assert metadata_fault({f"k{n}": "v" * 512 for n in range(64)}) is None
    assert metadata_fault({"k" * 128: "v"}) is None


@pytest.mark.parametrize(
    ("meta", "fault"),
    [
        ({f"k{n}": "" for n in range(65)}, "cannot contain more than 64"),
        ({"": "v"}, "Key cannot be blank"),
        ({"a b": "1"}, "Couldn't load metadata pair ('a b', '1'): Key contains invalid characters"),
        ({"ü": "1"}, "Key contains invalid characters"),
        ({"k" * 129: "v"}, "Key is too long (limit: 128 characters)"),
        ({"consul-x": "v"}, "Key prefix 'consul-' is reserved for internal use"),
        ({"k": "v" * 513}, "Value is too long (limit: 512 characters)"),
    ],
)
def test_consuls_rules_in_consuls_words(meta: dict[str, str], fault: str) -> None:
    assert fault in (metadata_fault(meta) or "")
