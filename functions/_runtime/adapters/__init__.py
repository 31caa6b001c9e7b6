"""What the ports are made of: in memory, and SQLite. Only a function's `service.py` names them."""
