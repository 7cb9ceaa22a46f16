"""Stand-ins for OneVizion and Slack on loopback sockets; `python -m tests.sandbox` runs the program against them."""
