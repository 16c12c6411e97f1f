"""`python -m examples.marketplace`."""

from examples.marketplace.system import EXAMPLE
from examples.standins.launch import main

if __name__ == "__main__":
    main(EXAMPLE)
