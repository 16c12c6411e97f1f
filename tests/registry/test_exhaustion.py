import errno

import pytest

from registry.exhaustion import is_out_of_resources


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]
)
def test_what_this_machine_lacks(number: int) -> None:
    assert is_out_of_resources(OSError(number, "lacking"))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        OSError(errno.EHOSTUNREACH, "no route"),
        TimeoutError(),
        OSError("without a number"),
        ValueError(errno.EMFILE),
    ],
    ids=repr,
)
def test_what_says_something_of_the_other_side(error: Exception) -> None:
    assert not is_out_of_resources(error)
