"""What a DBA does with AWS KMS by other means, with AWS's own client.

kms.py URL new-key ALIAS            makes a KMS key and points the alias to it, away from the key before
kms.py URL key-of ALIAS             prints the ARN of the alias's key
kms.py URL peer-files ALIAS KEYS DIRECTORY
                                    writes the keys of a plain key file as aws_key_management would have them
"""

import pathlib
import sys
import time

import boto3
import botocore.exceptions


def client(url):
    kms = boto3.client("kms", endpoint_url=url, region_name="us-east-1")
    for _ in range(600):
        try:
            kms.list_keys()
            return kms
        except botocore.exceptions.EndpointConnectionError:
            time.sleep(0.1)
    sys.exit(f"nobody answers at {url}")


def new_key(kms, alias):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    known = [known["AliasName"] for known in kms.list_aliases()["Aliases"]]
    point = kms.update_alias if alias in known else kms.create_alias
    point(AliasName=alias, TargetKeyId=key)


def key_of(kms, alias):
    print(kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"])


def peer_files(kms, alias, keys, directory):
    # aws_key_management has KMS make the key (GenerateDataKeyWithoutPlaintext) and keeps the ciphertext as it is; here the
    # key is one that pages are encrypted with already.
    for line in pathlib.Path(keys).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        key_id, digits = line.split(";")[0], line.split(";")[-1]
        blob = kms.encrypt(KeyId=alias, Plaintext=bytes.fromhex(digits))["CiphertextBlob"]
        (pathlib.Path(directory) / f"aws-kms-key.{key_id}.1").write_bytes(blob)


if __name__ == "__main__":
    url, command, *arguments = sys.argv[1:]
    {"new-key": new_key, "key-of": key_of, "peer-files": peer_files}[command](client(url), *arguments)
