"""Who may: accounts, API keys, and the short-lived tokens that stand for them inside."""
