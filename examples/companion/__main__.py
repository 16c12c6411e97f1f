"""`python -m examples.companion`."""

from examples.companion.system import EXAMPLE
from examples.standins.launch import main

if __name__ == "__main__":
    main(EXAMPLE)
