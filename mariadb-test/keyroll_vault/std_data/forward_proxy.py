#!/usr/bin/env python3
"""A proxy as companies have them before the Internet: it leads to vault.test, which it alone knows and which is this machine.

forward_proxy.py PORT LOG     listens on 127.0.0.1:PORT for CONNECT and for SOCKS 5, and writes a line to LOG for each wish
"""

import socket
import sys
import threading

KNOWN = "vault.test"


def read_exactly(client, count):
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise ConnectionError("the client is gone")
        data += more
    return data


def by_connect(client, first):
    """Host, port, and what to answer where the way is open and where it is not."""
    head = first
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(client, 1)
    method, target, _ = head.decode("latin-1").split(" ", 2)
    host, _, port = target.rpartition(":")
    if method != "CONNECT":
        raise ConnectionError(method)
    return f"CONNECT {target}", host, int(port), b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n"


def by_socks(client, _):
    read_exactly(client, read_exactly(client, 1)[0])
    client.sendall(b"\x05\x00")
    kind = read_exactly(client, 4)[3]
    if kind != 3:
        raise ConnectionError(f"kind {kind}")
    host = read_exactly(client, read_exactly(client, 1)[0]).decode("latin-1")
    port = int.from_bytes(read_exactly(client, 2), "big")
    rest = b"\x00\x01" + bytes(6)
    return f"SOCKS {host}:{port}", host, port, b"\x05\x00" + rest, b"\x05\x02" + rest


def pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Whoever ends a connection, it has ended.
        pass


def serve(client, log):
    try:
        with client:
            first = read_exactly(client, 1)
            wish, host, port, granted, refused = (by_socks if first == b"\x05" else by_connect)(client, first)
            print(wish, file=log, flush=True)
            if host != KNOWN:
                client.sendall(refused)
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(granted)
                back = threading.Thread(target=pass_on, args=(server, client), daemon=True)
                back.start()
                pass_on(client, server)
                back.join()
    except (OSError, ValueError):
        pass


def main():
    port, log = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=100)
    with open(log, "a", encoding="utf-8") as lines:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, lines), daemon=True).start()


main()
