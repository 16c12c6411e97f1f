"""`python -m examples.devmatch`."""

from examples.devmatch.system import EXAMPLE
from examples.standins.launch import main

if __name__ == "__main__":
    main(EXAMPLE)
