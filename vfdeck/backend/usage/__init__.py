"""What the host itself uses functions for: network interfaces, disks, and the operator's own connection.

Looked up when a plan is made that takes functions away, not with every snapshot. Everything is read through the seam.
"""
