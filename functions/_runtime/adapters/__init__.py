"""What the ports are made of: memory, SQLite, PostgreSQL, MongoDB. Only a function's `service.py` names them."""
