"""Dialogs: what has to be asked before a change, and what is shown over the dashboard."""
