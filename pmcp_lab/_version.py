"""The version, said once: the build, the package and the handshakes with peers all read it here."""

__version__ = "0.1.0"
