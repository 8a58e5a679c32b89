"""HTTP: the messages of a mailbox as they come, without a gap. `follow.py URL TOKEN`, URL like http://HOST:50546/v1/events"""

import json
import sys
import time
import urllib.error
import urllib.request

url, token = sys.argv[1:]
seen = None
while True:
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": seen} if seen else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as events:
            for line in events:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    seen = value
                elif (name, value) == ("event", "went-back"):
                    print("the server went back: everything it has follows", file=sys.stderr)
                elif name == "data":
                    message = json.loads(value)
                    print(message.get("offset"), message.get("text"), flush=True)
    except urllib.error.HTTPError as refused:
        sys.exit(json.load(refused)["detail"])
    except OSError:
        time.sleep(1)
