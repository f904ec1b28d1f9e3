"""Authoring apps: from files to what a host shows, and to what is published.

Stands on `protocol` alone. What talks to a server is in `client`, the commands are in `cli`.
"""
