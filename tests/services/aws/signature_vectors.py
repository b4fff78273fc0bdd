#!/usr/bin/env python3
"""Writes src/service/aws/signature_vectors.json: requests, and the signatures that botocore, AWS's own client,
makes for them.

The requests, the credentials (AKIDEXAMPLE, which opens nothing), the time and the scope are those of the published
"Signature Version 4 test suite" (Apache-2.0). `--suite` holds each of them, and its signature, against a copy of the suite:

    pip install botocore && tests/services/aws/signature_vectors.py
    git clone https://github.com/awslabs/aws-c-auth
    tests/services/aws/signature_vectors.py --suite aws-c-auth/tests/aws-signing-test-suite/v4

Done with its commit 495329c2433034bd8fd53fc6ba9e0202d3fac876: 30 of its 38 cases are here and have its signatures. The other
8 are LEFT_OUT, and the script fails if there are more.
"""

import datetime
import json
import pathlib
import sys
import urllib.parse
from unittest import mock

import botocore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
    "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
    "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGEST = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"  # of "Param1=value1"

# name: method, path, query, headers, body, session token
GET, POST = "GET", "POST"
CASES = {
    "get-vanilla": (GET, "/"),
    "get-vanilla-with-session-token": (GET, "/", "", [], "", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
    "get-vanilla-query": (GET, "/"),
    "get-vanilla-empty-query-key": (GET, "/", "Param1=value1"),
    "get-vanilla-query-order-encoded": (GET, "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1"),
    "get-vanilla-query-order-key-case": (GET, "/", "Param2=value2&Param1=value1"),
    "get-vanilla-query-unreserved": (GET, "/", f"{UNRESERVED}={UNRESERVED}"),
    "get-vanilla-utf8-query": (GET, "/", "%E1%88%B4=bar"),
    "get-header-key-duplicate": (GET, "/", "", [("My-Header1", v) for v in ("value2", "value2", "value1")]),
    "get-header-value-multiline": (GET, "/", "", [("My-Header1", "value1\n  value2\n     value3")]),
    "get-header-value-order": (GET, "/", "", [("My-Header1", f"value{n}") for n in (4, 1, 3, 2)]),
    "get-header-value-trim": (GET, "/", "", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')]),
    "get-relative-normalized": (GET, "/example/.."),
    "get-relative-relative-normalized": (GET, "/example1/example2/../.."),
    "get-slash-normalized": (GET, "//"),
    "get-slash-dot-slash-normalized": (GET, "/./"),
    "get-slash-pointless-dot-normalized": (GET, "/./example"),
    "get-slashes-normalized": (GET, "//example//"),
    "get-space-normalized": (GET, "/example space/"),
    "get-unreserved": (GET, "/" + UNRESERVED),
    "get-utf8": (GET, "/\u1234"),
    "post-vanilla": (POST, "/"),
    "post-vanilla-empty-query-value": (POST, "/", "Param1=value1"),
    "post-vanilla-query": (POST, "/", "Param1=value1"),
    "post-header-key-case": (POST, "/"),
    "post-header-key-sort": (POST, "/", "", [("My-Header1", "value1")]),
    "post-header-value-case": (POST, "/", "", [("My-Header1", "VALUE1")]),
    "post-sts-header-before": (POST, "/", "", [], "", TOKEN),
    "post-x-www-form-urlencoded": (
        POST, "/", "",
        [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "13"), ("x-amz-content-sha256", DIGEST)],
        "Param1=value1",
    ),
    "post-x-www-form-urlencoded-parameters": (
        POST, "/", "",
        [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), ("Content-Length", "13"),
         ("x-amz-content-sha256", DIGEST)],
        "Param1=value1",
    ),
}
# What the suite does not have, and an endpoint behind a gateway may.
CASES |= {
    "a-path-that-is-encoded-already": (GET, "/a%20b/%E1%88%B4"),
    "a-value-with-encoded-delimiters": (GET, "/", "a=b%26c%3Dd&a=b&e"),
    "an-emptied-directory": (GET, "/a/../"),
}

# Cases of the suite that are no case here, and why.
PATHS = "a path that is signed as it stands: S3 alone wants that"
LEFT_OUT = {
    "get-relative-relative-unnormalized": PATHS,
    "get-relative-unnormalized": PATHS,
    "get-slash-dot-slash-unnormalized": PATHS,
    "get-slash-pointless-dot-unnormalized": PATHS,
    "get-slash-unnormalized": PATHS,
    "get-slashes-unnormalized": PATHS,
    "get-space-unnormalized": PATHS,
    "post-sts-header-after": "a session token that is added after signing: KMS and STS want it signed",
}


def signature(method, path, query="", headers=(), body="", token=None):
    url = "https://example.amazonaws.com" + path + ("?" + query if query else "")
    request = AWSRequest(method=method, url=url, data=body.encode())
    request.headers["Host"] = "example.amazonaws.com"
    for name, value in headers:
        request.headers.add_header(name, value)
    key = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    then = datetime.datetime(2015, 8, 30, 12, 36)
    signer = SigV4Auth(key, "service", "us-east-1")
    signer.SIGNED_HEADERS_BLACKLIST = []
    with mock.patch("botocore.auth.get_current_datetime", return_value=then):
        signer.add_auth(request)
    return request.headers["Authorization"]


def read_request(text):
    """A request of the suite: method, path, query, headers, body."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, rest = first.split(" ", 1)
    path, _, query = rest.removesuffix(" HTTP/1.1").partition("?")
    headers = []
    for line in lines:
        # A value goes on in lines that start with a space.
        if line.startswith(" "):
            headers[-1][1] += "\n" + line
        else:
            headers.append(line.split(":", 1))
    return method, path, query, headers, body


def decoded(text):
    """The suite writes some queries decoded, as no request can have them."""
    return urllib.parse.unquote(text)


def compare(vectors, suite):
    same = 0
    for case in sorted(path for path in suite.iterdir() if path.is_dir()):
        if case.name in LEFT_OUT:
            continue
        ours = vectors[case.name]
        context = json.loads((case / "context.json").read_text())
        method, path, query, headers, body = read_request((case / "request.txt").read_text())
        sorted_headers = lambda all: sorted((name.lower(), value) for name, value in all)
        assert (ours["method"], ours["path"], ours["body"]) == (method, path, body), case.name
        assert decoded(ours["query"]) == decoded(query), case.name
        # Where the suite has the body's digest added, it stands among our headers.
        added = [] if not context["sign_body"] else [["x-amz-content-sha256", DIGEST]]
        assert sorted_headers(ours["headers"]) == sorted_headers(headers + added), case.name
        assert ours["token"] == context["credentials"].get("token"), case.name
        expected = (case / "header-signature.txt").read_text().strip()
        assert ours["authorization"].endswith("Signature=" + expected), case.name
        same += 1
    print(f"{same} cases of the suite are here with its signatures; {len(LEFT_OUT)} are left out")


def main():
    vectors = []
    for name, case in CASES.items():
        method, path, query, headers, body, token = (*case, *("", [], "", None)[len(case) - 2 :])
        vectors.append({
            "name": name, "method": method, "path": path, "query": query,
            "headers": [["Host", "example.amazonaws.com"], *map(list, headers)],
            "body": body, "token": token, "authorization": signature(*case),
        })
    out = pathlib.Path(__file__).parents[3] / "src/service/aws/signature_vectors.json"
    lines = ",\n".join(" " + json.dumps(vector, ensure_ascii=False) for vector in vectors)
    out.write_text(f'{{"from": "botocore {botocore.__version__}", "vectors": [\n{lines}\n]}}\n')
    if sys.argv[1:2] == ["--suite"]:
        compare({vector["name"]: vector for vector in vectors}, pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
