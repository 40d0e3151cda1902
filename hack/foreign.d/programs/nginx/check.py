"""Asks nginx for its files. A whole answer with other bytes is wrong; one that was cut off is not."""
import hashlib
import http.client
import sys
import time

SIZES = (100, 5000, 300000, 4000000)


def look(size):
    """Returns the bytes of a whole answer, or None."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
        connection.request("GET", f"/{size}")
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status == 200 and len(body) == size else b""
    except (OSError, http.client.HTTPException):
        return None


def is_right(size, body):
    with open(f"/foreign/home/www/{size}.sha256") as file:
        return hashlib.sha256(body).hexdigest() == file.read().strip()


def forever():
    while True:
        for size in SIZES:
            body = look(size)
            if body is not None and not is_right(size, body):
                with open("/foreign/home/wrong", "a") as file:
                    file.write(f"{size}: {len(body)} bytes, others than those of the file\n")
        time.sleep(0.01)


def once():
    for size in SIZES:
        body = look(size)
        if body is None or not is_right(size, body):
            sys.exit(f"{size} is {'not answered' if body is None else 'answered with other bytes'}")


if __name__ == "__main__":
    {"forever": forever, "once": once}[sys.argv[1]]()
