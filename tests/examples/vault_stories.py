"""docs/vault.md, with a real OpenBao."""

from machine import ENCRYPTED, OPTIONS, require
from pages import ROOT
from services import vault
from stories import of

KV = "docs/vault.md#keys-in-vault-kv"
TRANSIT = "docs/vault.md#the-master-key-in-vault-transit"
# The spellings that option files can have.
PEER = """[mariadbd]
plugin-load-add = hashicorp_key_management
hashicorp-key-management-vault-url = https://vault.example:8200/v1/keys
loose_hashicorp_key_management_token=%s
hashicorp_key_management-vault_ca = /etc/mysql/vault-ca.pem
"""


@of(KV, f"{KV}:2", f"{KV}:3", f"{KV}:4", "docs/vault.md#proxies")
def keys_in_vault_serve_and_rotate_with_the_rights_of_the_page(machine, keys, policy, token, my_cnf, proxy):
    vault(machine)
    machine.sh(keys)
    (ROOT / "policy.hcl").write_text(policy, encoding="utf-8")
    machine.sh(token)
    machine.configure(my_cnf + ENCRYPTED)
    machine.restart()
    machine.serves()
    unit = machine.configure(proxy, "/etc/systemd/system/mariadb.service.d/proxy.conf")
    machine.refused("proxy.example:3128", "https_proxy")
    unit.write_text(proxy.replace(".corp.example", ".example"), encoding="utf-8")
    machine.restart()
    machine.unharmed()


@of(KV, "docs/vault.md#moving-over-from-hashicorp_key_management")
def hashicorp_key_management_becomes_keyroll_by_the_sed_of_the_page(machine, keys, sed):
    token = vault(machine)
    machine.sh(keys)
    cnf = OPTIONS / "hashicorp_key_management.cnf"
    cnf.write_text(PEER % token + ENCRYPTED, encoding="utf-8")
    machine.restart()
    machine.fill()
    machine.sh(sed)
    require("hashicorp" not in cnf.read_text(encoding="utf-8"), "a name of the peer is left")
    machine.restart()
    machine.unharmed()
    machine.serves()


@of(TRANSIT, f"{TRANSIT}:2", f"{TRANSIT}:3", f"{TRANSIT}:4")
def a_master_key_in_transit_serves_and_rotates_with_the_rights_of_the_page(machine, keys, policy, init, my_cnf):
    token = vault(machine)
    machine.sh(keys)
    (ROOT / "policy.hcl").write_text(policy, encoding="utf-8")
    machine.sh("bao policy write keyroll policy.hcl >/dev/null\n"
               "bao token create -policy=keyroll -field=token >/etc/mysql/vault-token\n"
               "chown mysql /etc/mysql/vault-token; chmod 600 /etc/mysql/vault-token")
    machine.sh(init, {"VAULT_TOKEN=...": f"VAULT_TOKEN={token}"})
    machine.configure(my_cnf + ENCRYPTED)
    machine.restart()
    machine.serves()
    machine.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    machine.restart()
    machine.unharmed()
