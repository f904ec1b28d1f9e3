"""`python -m pmcp_lab`: the same as the `pmcp-lab` command."""

from pmcp_lab.cli import main

if __name__ == "__main__":
    main()
