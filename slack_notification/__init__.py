"""The parts of Slack-notification; module.py is where to start reading."""

VERSION = "1.0.0"
