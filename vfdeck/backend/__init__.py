"""What is true and what can be done: usable as a library, without any user interface."""
