"""The measurements: one file each, with its goals. The table of them is in bench/__init__.py."""
