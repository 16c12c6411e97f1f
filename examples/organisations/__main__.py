"""`python -m examples.organisations`."""

from examples.organisations.system import EXAMPLE
from examples.standins.launch import main

if __name__ == "__main__":
    main(EXAMPLE)
