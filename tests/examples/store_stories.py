"""docs/stores.md, docs/master-keys.md and docs/exec-provider.md."""

from pathlib import Path

from machine import CNF, ENCRYPTED, OPTIONS, require
from stories import of

FOLDERS = "install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master\n"
KEYS = "install -D -o mysql -m 600 <(echo '1;a7addd9adea9978fda19f21e6be987880e68ac92632ca052e5bb42b1a506939a') /etc/mysql/keys\n"
# The spellings that option files can have.
PEER = """[mariadb]
plugin_load_add = file_key_management
loose-file-key-management-filename = /etc/mysql/keys
file_key_management-encryption_algorithm=aes_ctr
"""
OTHER_SPELLINGS = """[mariadbd]
plugin-load-add=file_key_management.so
loose_file_key_management_filename=/etc/mysql/keys
file-key-management-encryption-algorithm = aes_ctr
"""


@of("docs/stores.md#keystore", "docs/stores.md#its-master-key")
def a_keystore_is_what_my_cnf_names_and_its_master_key_is_rotated(machine, my_cnf, rotate):
    machine.sh(FOLDERS + "keyroll init --keystore /var/lib/keyroll/keystore --master-key file:/srv/keyroll-master/key")
    machine.configure(my_cnf + ENCRYPTED)
    machine.restart()
    machine.serves()
    machine.sql(rotate)
    require(len(Path("/srv/keyroll-master/key").read_text(encoding="ascii").splitlines()) >= 2, "no new version of the master key")
    machine.restart()
    machine.unharmed()


@of("docs/stores.md#from-file_key_management", "docs/stores.md#from-file_key_management:2")
def file_key_management_becomes_a_key_file_or_a_keystore(machine, sed, to_keystore):
    for spelling in (PEER, OTHER_SPELLINGS):
        machine.sh(KEYS)
        (OPTIONS / "encryption.cnf").write_text(spelling + ENCRYPTED, encoding="utf-8")
        machine.restart()
        machine.fill()
        machine.sh(sed)
        machine.restart()
        machine.unharmed()
        plugins = machine.sql("SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'ENCRYPTION'").split()
        require(plugins == ["keyroll"], f"other plugins: {plugins}")
    # From the peer, as it was, with the server down.
    (OPTIONS / "encryption.cnf").write_text(PEER + ENCRYPTED, encoding="utf-8")
    machine.sh("systemctl stop mariadb\n" + FOLDERS)
    printed = machine.sh(f"{to_keystore.rstrip()} 2>/dev/null")
    (OPTIONS / "encryption.cnf").write_text(printed, encoding="utf-8")
    machine.restart()
    machine.unharmed()
    machine.serves()


@of("docs/master-keys.md#credentialname", "docs/master-keys.md#credentialname:2", "docs/master-keys.md#credentialname:3")
def a_credential_of_systemd_is_the_master_key(machine, make, unit, my_cnf):
    # No TPM is here; what the page says of a machine without one.
    machine.sh(make, {"host+tpm2": "host"})
    machine.configure(unit)
    # As root, with the credential in a folder: the command is told as systemd tells a service.
    machine.sh(FOLDERS + """umask 77; install -d /run/clear
        systemd-creds decrypt --name=keyroll-master /etc/credstore.encrypted/keyroll-master /run/clear/keyroll-master
        CREDENTIALS_DIRECTORY=/run/clear keyroll init --keystore /var/lib/keyroll/keystore --master-key credential:keyroll-master
        rm -r /run/clear""")
    path = machine.configure(my_cnf + "plugin_load_add = keyroll\nkeyroll_keystore = /var/lib/keyroll/keystore\n" + ENCRYPTED)
    require(path == CNF, f"the page writes {path}")
    machine.restart()
    machine.serves()
    machine.sql("SET GLOBAL keyroll_rotate_master_key = 1", code=1)


@of("docs/exec-provider.md#trying-it-by-hand")
def the_example_of_a_command_is_tried_by_hand_and_serves(machine, tried):
    machine.sh(FOLDERS)
    said = machine.sh("set +e\n" + tried)
    require('{"plaintext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}' in said, f"another answer: {said}")
    require("\n65\n" in said, f"another exit code: {said}")
    machine.sh("""chown -R mysql /srv/keyroll-master/rsa
        export KEYROLL_EXEC_KEYS=/srv/keyroll-master/rsa
        keyroll init --keystore /var/lib/keyroll/keystore --master-key exec:/usr/local/lib/keyroll/exec-provider-openssl.sh \
          >/etc/mysql/mariadb.conf.d/90.cnf""")
    machine.configure("[Service]\nEnvironment=KEYROLL_EXEC_KEYS=/srv/keyroll-master/rsa\n", "/etc/systemd/system/mariadb.service.d/exec.conf")
    machine.restart()
    machine.serves()
    machine.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    machine.restart()
    machine.unharmed()
