"""`python -m tests.handlers.fleet` prints the table of policies."""

import sys

from tests.handlers.fleet.storm import Storm
from tests.handlers.fleet.table import markdown, rows

sys.stdout.write(markdown(rows(Storm())) + "\n")
