"""What several backends use; no backend itself."""
