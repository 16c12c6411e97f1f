"""`python -m gateway` is `quaymaster`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
