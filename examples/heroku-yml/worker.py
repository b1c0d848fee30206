import time

print("Worker is up", flush=True)
while True:
    time.sleep(60)
    print("Working", flush=True)
