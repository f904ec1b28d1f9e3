"""`python -m pmcp_lab.demo`: the demo server over stdio."""

from pmcp_lab.demo import build

if __name__ == "__main__":
    build().run("stdio")
