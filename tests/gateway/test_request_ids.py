from gateway.errors import usable_request_id
from gateway.request_ids import RequestIds


def test_ids_are_usable_and_never_the_same_within_a_process_nor_between_two() -> None:
    one, other = RequestIds("0123456789abcdef"), RequestIds("fedcba9876543210")
    ids = [ids.next() for ids in (one, other) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(usable_request_id(id) and len(id) == 32 for id in ids)
