"""The web application (extra ``serve``): API, page and live stream in front of one recognizer; never on torch."""
