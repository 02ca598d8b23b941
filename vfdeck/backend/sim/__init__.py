"""A kernel made of objects that answers as Linux does: PCI functions, drivers, groups, opens, tokens, and the sysfs over them."""
