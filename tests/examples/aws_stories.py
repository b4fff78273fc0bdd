"""docs/aws-kms.md, with moto, which checks signatures and the actions of policies."""

import json

from machine import CNF, DATA, ENCRYPTED, require
from services import Aws
from stories import of

PAGE = "docs/aws-kms.md"
KEY = f"{PAGE}#the-kms-key-and-who-may-use-it"
ROTATION = f"{PAGE}#rotation"
# The spellings that option files can have. Debian has no such plugin: no server ever started with these lines here.
PEER = """[mariadb]
plugin_load_add = aws_key_management
loose-aws-key-management-master-key-id = alias/mariadb
aws_key-management_region=us-east-1
"""


@of(KEY, f"{KEY}:2", f"{PAGE}#first-start", f"{PAGE}#mycnf:2", ROTATION, f"{ROTATION}:2")
def a_keystore_wrapped_by_kms_serves_and_rotates_with_the_rights_of_the_page(machine, key, policy, init, my_cnf, rotate, move):
    aws = Aws(machine, json.loads(policy))
    machine.sh(key)
    aws.serve()
    operator = dict(machine.environment)
    # As root, with the same credentials as the server.
    machine.environment |= aws.server
    machine.sh(init)
    machine.configure(my_cnf + ENCRYPTED)
    machine.restart()
    machine.serves()
    machine.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    machine.environment |= operator
    # The alias moves, and then another key is named by its id.
    machine.sh(rotate)
    machine.restart()
    machine.sh(f"{rotate.splitlines()[0]}\n{move}\nsed -i s,alias/mariadb,$NEW, {CNF}")
    machine.restart()
    machine.unharmed()


@of(KEY, f"{KEY}:2", f"{PAGE}#mycnf")
def a_keystore_that_my_cnf_names_serves_with_kms(machine, key, policy, my_cnf):
    aws = Aws(machine, json.loads(policy))
    machine.sh(key)
    aws.serve()
    machine.sh("install -d -o mysql -g mysql -m 0700 /var/lib/keyroll\n"
               "keyroll init --keystore /var/lib/keyroll/keystore --master-key aws-kms:alias/mariadb")
    machine.configure(my_cnf + ENCRYPTED)
    machine.restart()
    machine.serves()


@of(KEY, f"{KEY}:2", f"{PAGE}#moving-over-from-aws_key_management")
def keys_of_aws_key_management_are_imported(machine, key, policy, move):
    aws = Aws(machine, json.loads(policy))
    machine.sh(key + """
        aws kms generate-data-key-without-plaintext --key-id alias/mariadb --key-spec AES_128 \\
          --query CiphertextBlob --output text | base64 -d >/var/lib/mysql/aws-kms-key.1.1
        chown mysql:mysql /var/lib/mysql/aws-kms-key.1.1""")
    aws.serve()
    path = machine.configure(PEER + ENCRYPTED)
    machine.sh(move)
    require(path.read_text(encoding="utf-8").lower().count("aws") == 0, "a name of the peer is left")
    require((DATA / "keyroll.keystore").exists(), "nothing was imported")
    machine.restart()
    machine.serves()
