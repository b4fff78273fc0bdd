#!/usr/bin/env python3
"""Writes src/master_key/aws_kms/signature_vectors.json: requests, and the signatures that botocore, AWS's own client,
makes for them.

The requests, the credentials (AKIDEXAMPLE, which opens nothing), the time and the scope are those of the published
"Signature Version 4 test suite", so that each signature here is the one that stands there.

    pip install botocore && tests/aws/signature_vectors.py
"""

import datetime
import json
import pathlib
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
    "get-vanilla-empty-query-key": (GET, "/", "Param1=value1"),
    "get-vanilla-query-order-encoded": (GET, "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1"),
    "get-vanilla-query-order-key-case": (GET, "/", "Param2=value2&Param1=value1"),
    "get-vanilla-query-unreserved": (GET, "/", f"{UNRESERVED}={UNRESERVED}"),
    "get-vanilla-utf8-query": (GET, "/", "%E1%88%B4=bar"),
    "get-header-key-duplicate": (GET, "/", "", [("My-Header1", v) for v in ("value2", "value2", "value1")]),
    "get-header-value-multiline": (GET, "/", "", [("My-Header1", "value1\n  value2\n     value3")]),
    "get-header-value-order": (GET, "/", "", [("My-Header1", f"value{n}") for n in (4, 1, 3, 2)]),
    "get-header-value-trim": (GET, "/", "", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')]),
    "get-relative": (GET, "/example/.."),
    "get-relative-relative": (GET, "/example1/example2/../.."),
    "get-slash": (GET, "//"),
    "get-slash-dot-slash": (GET, "/./"),
    "get-slash-pointless-dot": (GET, "/./example"),
    "get-slashes": (GET, "//example//"),
    "get-space": (GET, "/example space/"),
    "get-unreserved": (GET, "/" + UNRESERVED),
    "get-utf8": (GET, "/\u1234"),
    "post-vanilla": (POST, "/"),
    "post-vanilla-query": (POST, "/", "Param1=value1"),
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


def main():
    vectors = []
    for name, case in CASES.items():
        method, path, query, headers, body, token = (*case, *("", [], "", None)[len(case) - 2 :])
        vectors.append({
            "name": name, "method": method, "path": path, "query": query,
            "headers": [["Host", "example.amazonaws.com"], *map(list, headers)],
            "body": body, "token": token, "authorization": signature(*case),
        })
    out = pathlib.Path(__file__).parents[2] / "src/master_key/aws_kms/signature_vectors.json"
    lines = ",\n".join(" " + json.dumps(vector, ensure_ascii=False) for vector in vectors)
    out.write_text(f'{{"from": "botocore {botocore.__version__}", "vectors": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
