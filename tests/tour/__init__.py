"""The tour, walked through by the keys that its lessons name."""
