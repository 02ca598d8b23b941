"""The real kernel behind the seam: `vfdeck.backend.linux.kernel.LinuxKernel`."""
