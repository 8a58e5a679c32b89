"""HTTP: a message that is stored once, whatever the network does. `send.py URL TEXT [TOKEN]`."""

import json
import sys
import time
import urllib.error
import urllib.request
import uuid

url, text, *token = sys.argv[1:]
headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "text/plain"}
if token:
    headers["Authorization"] = f"Bearer {token[0]}"
for _ in range(10):
    try:
        request = urllib.request.Request(url, text.encode(), headers)
        receipt = json.load(urllib.request.urlopen(request, timeout=30))
        print("10-4", receipt["mailbox"], receipt["offset"], receipt["durability"])
        sys.exit(0)
    except urllib.error.HTTPError as refused:
        if refused.code < 500:
            sys.exit(json.load(refused)["detail"])
    except OSError:
        pass  # perhaps stored: the same key again is safe
    time.sleep(1)
sys.exit(75)
