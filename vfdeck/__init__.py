"""vfdeck: a terminal dashboard for SR-IOV fleets and their vfio VF tokens."""

__version__ = "0.1.0"
