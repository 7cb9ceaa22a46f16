"""The parts of Slack-notification; module.py is where to start reading."""
