#!/usr/bin/env python3
"""Stands between a server and its key service, and makes trouble on demand.

trouble.py DIRECTORY certificates       makes, by openssl, what it shows: of the authority DIRECTORY/ca.pem with its ca.key,
                                        which are made, too, where they are missing
trouble.py DIRECTORY serve PORT URL     listens on 127.0.0.1:PORT with TLS and asks the service at URL (http or https, on
                                        this machine, so that no certificate is looked at)
trouble.py DIRECTORY set TROUBLE        returns once it is in force
trouble.py DIRECTORY count              prints how many requests and connections have come so far

TROUBLE is one of
  pass            none
  closed          nobody listens
  hang            takes requests and never answers
  slow            answers after 5 seconds
  cut:N           ends the connection after N bytes of the answer
  500, 429        answers with this status
  garbage         answers with bytes that are no HTTP
  flood           answers with 100 MB
  expired         shows a certificate that has expired
  other-host      shows one for another host
  unknown-ca      shows one of an authority that nobody knows

One that concerns certificates, or closes, ends all connections; any other counts for those that there are, too.
"""

import http.client
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

CERTIFICATES = ("good", "expired", "other-host", "unknown-ca")
SLOW_SECONDS = 5
FLOOD_BYTES = 100 * 1024 * 1024
WORDS = {500: "Internal Server Error", 429: "Too Many Requests"}


def make_certificates(directory):
    def openssl(*arguments):
        made = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            sys.exit(f"openssl {' '.join(arguments)}: {made.stderr}")

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for authority in ("ca", "nobody"):
        if not (directory / f"{authority}.pem").exists():
            openssl("req", *new_key, "-x509", "-days", "5", "-subj", f"/CN={authority}",
                    "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    for name in CERTIFICATES:
        authority = "nobody" if name == "unknown-ca" else "ca"
        host = "DNS:elsewhere.example" if name == "other-host" else "IP:127.0.0.1,DNS:vault.test"
        (directory / "ext").write_text(f"subjectAltName={host}\n")
        openssl("req", *new_key, "-subj", "/CN=service", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        # It ends as it begins, so it has expired by the time that anybody sees it.
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-days", "0" if name == "expired" else "5", "-out", f"{name}.pem", "-extfile", "ext")


class Proxy:
    def __init__(self, directory, port, url):
        self.port = port
        self.url = urllib.parse.urlsplit(url)
        self.tls = {}
        for name in CERTIFICATES:
            self.tls[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls[name].load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
        self.lock = threading.Condition()
        self.trouble = "pass"
        self.connections = set()
        self.requests = self.accepted = 0
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def set(self, trouble):
        if trouble.split(":")[0] not in ("pass", "closed", "hang", "slow", "cut", "500", "429", "garbage", "flood") + CERTIFICATES[1:]:
            return f"there is no trouble {trouble}"
        with self.lock:
            was, self.trouble = self.trouble, trouble
            if trouble == "closed" and was != "closed":
                # A thread that waits in accept() keeps the socket alive unless it is shut down.
                self.listener.shutdown(socket.SHUT_RDWR)
                self.listener.close()
            if trouble == "closed" or trouble in CERTIFICATES:
                for connection in self.connections:
                    end(connection)
            self.lock.notify_all()
        if was == "closed" and trouble != "closed":
            self.listen()
        return "done"

    def serve(self, plain):
        with self.lock:
            self.accepted += 1
            self.connections.add(plain)
            certificate = self.trouble if self.trouble in CERTIFICATES else "good"
        service = None
        try:
            with self.tls[certificate].wrap_socket(plain, server_side=True) as client:
                with self.lock:
                    self.connections.add(client)
                service = self.connect()
                with client.makefile("rb") as requests:
                    while self.answer(client, requests, service):
                        pass
        except (OSError, http.client.HTTPException):
            # Whoever ends a connection, it has ended.
            pass
        finally:
            with self.lock:
                self.connections = {open_one for open_one in self.connections if open_one.fileno() >= 0}
                self.connections.discard(plain)
            plain.close()
            if service:
                service.close()

    def connect(self):
        host, port = self.url.hostname, self.url.port
        if self.url.scheme == "http":
            return http.client.HTTPConnection(host, port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, context=context)

    def answer(self, client, requests, service):
        """One request; whether there may be another on this connection."""
        line = requests.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = http.client.parse_headers(requests)
        body = requests.read(int(headers.get("Content-Length", 0)))
        with self.lock:
            self.requests += 1
            trouble = self.trouble
            if trouble == "hang":
                self.lock.wait_for(lambda: self.trouble != "hang")
                return False
        if trouble == "slow":
            time.sleep(SLOW_SECONDS)
        if trouble == "garbage":
            client.sendall(bytes(range(256)) * 40)
            return False
        if trouble == "flood":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"data\":\"")
            for _ in range(FLOOD_BYTES // 65536):
                client.sendall(b"x" * 65536)
            return False
        if trouble in ("500", "429"):
            client.sendall(whole(int(trouble), WORDS[int(trouble)], {}, b'{"errors":["trouble"]}'))
            return True
        service.request(method, path, body or None, dict(headers))
        answered = service.getresponse()
        answer = whole(answered.status, answered.reason, dict(answered.headers), answered.read())
        if trouble.startswith("cut:"):
            client.sendall(answer[:int(trouble[4:])])
            return False
        client.sendall(answer)
        return True


def whole(status, reason, headers, body):
    kept = {name: value for name, value in headers.items()
            if name.lower() not in ("transfer-encoding", "content-length", "connection")}
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in kept.items()), f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def end(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def serve(directory, port, url):
    proxy = Proxy(directory, int(port), url)
    place = directory / "trouble.sock"
    place.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX)
    # A path of the socket's own would be too long for the system where the directory's is.
    os.chdir(directory)
    control.bind(place.name)
    control.listen()
    while True:
        asker, _ = control.accept()
        with asker:
            command, *arguments = asker.recv(1000).decode().split()
            said = proxy.set(*arguments) if command == "set" else f"{proxy.requests} {proxy.accepted}"
            asker.sendall(said.encode())


def ask(directory, *words):
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as control:
        for _ in range(200):
            try:
                control.connect("trouble.sock")
                break
            except OSError:
                time.sleep(0.05)
        control.sendall(" ".join(words).encode())
        said = control.recv(1000).decode()
    if words[0] == "count":
        print(said)
    elif said != "done":
        sys.exit(said)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    where, action, *rest = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    if action == "certificates":
        make_certificates(where)
    elif action == "serve":
        serve(where, *rest)
    else:
        ask(where, action, *rest)
