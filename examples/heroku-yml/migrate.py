import os

print(f"Migrating as user {os.getuid()}")
