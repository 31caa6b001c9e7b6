"""What stands behind the ports: memory, SQLite, PostgreSQL, MongoDB. Only `service.py` files name one."""
