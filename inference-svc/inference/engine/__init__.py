"""What turns prompts into tokens, behind the port in `port.py`."""
