"""Data: units, groups and a sudo rule for an installed agent; `vfdeck agent --units DIR` writes them."""
