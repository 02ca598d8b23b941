"""What is drawn: each widget takes values of the backend and emits messages; none knows a kernel."""
