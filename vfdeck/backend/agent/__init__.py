"""The agent: a host behind a pipe or a socket, spoken to in Varlink. Standard library only; nothing heavy is imported here."""
