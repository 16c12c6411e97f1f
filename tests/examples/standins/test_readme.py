from pathlib import Path

import pytest

from tests.examples.standins.readme import Command, commands_of, is_said, run

URL = "http://127.0.0.1:8000"
PAGE = f"""
```sh
python -m examples.shop
```

```sh
A=$(echo curl \\
  one)
echo "$A" {URL}/x
# curl one http://…/x
```
"""


async def test_the_commands_of_a_page_are_run_in_one_shell(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    commands = commands_of(page, URL)
    assert commands == [
        Command("A=$(echo curl \\\n  one)", ""),
        Command(f'echo "$A" {URL}/x', "curl one http://…/x"),
    ]
    assert await run(commands, URL, "http://here") == ["", "curl one http://here/x\n"]


async def test_a_command_that_fails_ends_the_run() -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        await run([Command("echo no such thing >&2; false", "")], URL, URL)


@pytest.mark.parametrize(
    ("expected", "said", "same"),
    [("", " \n", True), ("a…c", "a b\nc\n", True), ("a.c", "abc", False), ("a", "a b", False)],
)
def test_an_ellipsis_stands_for_anything_and_nothing_else_does(expected: str, said: str, same: bool) -> None:
    assert is_said(expected, said) is same
