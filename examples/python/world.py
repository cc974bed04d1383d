"""A folder of accounts in LiteSVM: real account bytes and programs, no network.

`cargo xtask fork` writes the folder; `keeper fork` writes one of mainnet's accounts.
"""

import json
import os
import struct
from base64 import b64decode
from pathlib import Path

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from klend import ATA, FARMS, KLEND, associated_token_account, readonly, writable
from receiver import RECEIVER, Leg, Liquidation, swap_authority

ROOT = Path(__file__).resolve().parents[2]
FORK = Path(os.environ.get("FORK_DIR") or ROOT / "target/fork")
DEPLOY = Path(os.environ.get("SBF_OUT_DIR") or ROOT / "target/deploy")
POOL_PROGRAM = Pubkey.from_string("SwapStandin11111111111111111111111111111111")
LOOKUP_TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
SYSTEM = Pubkey.default()


class Failed(RuntimeError):
    """A transaction failed; its last log lines say why."""


class World:
    """A virtual machine with a fork's accounts in it."""

    def __init__(self) -> None:
        try:
            manifest = json.loads((FORK / "manifest.json").read_text())
        except FileNotFoundError as error:
            raise SystemExit(f"cannot read {error.filename}: run `cargo xtask fork` first")
        self.svm = LiteSVM()
        for program, elf in (
            (KLEND, os.environ.get("KLEND_ELF") or DEPLOY / "klend_stand_in.so"),
            (FARMS, os.environ.get("FARMS_ELF") or DEPLOY / "farms_stand_in.so"),
            (POOL_PROGRAM, DEPLOY / "swap_stand_in.so"),
            (RECEIVER, DEPLOY / "flash_liquidator.so"),
        ):
            self.svm.add_program(program, Path(elf).read_bytes())
        self.owned_by: dict = {}
        for file in sorted((FORK / "accounts").iterdir()):
            entry = json.loads(file.read_text())
            account = entry["account"]
            if account["executable"] or account["owner"].startswith("BPFLoader"):
                continue
            key, owner = (Pubkey.from_string(entry["pubkey"]), Pubkey.from_string(account["owner"]))
            data = b64decode(account["data"][0])
            self.svm.set_account(key, Account(account["lamports"], data, owner))
            self.owned_by.setdefault(owner, []).append(key)
        clock = self.svm.get_clock()
        clock.slot, clock.unix_timestamp = manifest["slot"], manifest["unix_timestamp"]
        self.svm.set_clock(clock)

    def data(self, key: Pubkey) -> bytes:
        """An account's bytes."""
        account = self.svm.get_account(key)
        if account is None:
            raise KeyError(f"account {key} is not there")
        return bytes(account.data)

    def balance(self, account: Pubkey) -> int:
        """Units in a token account."""
        return struct.unpack_from("<Q", self.data(account), 64)[0]

    def send(self, payer: Keypair, instructions: list, tables: list = ()) -> list:
        """Sends a v0 transaction that must succeed; returns its log lines."""
        blockhash = self.svm.latest_blockhash()
        message = MessageV0.try_compile(payer.pubkey(), instructions, list(tables), blockhash)
        transaction = VersionedTransaction(message, [payer])
        result = self.svm.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            logs = result.meta().logs()
            raise Failed("\n".join([str(result.err()), *logs[-6:]]))
        return result.logs()

    def lookup_table(self, instructions: list, payer: Pubkey) -> AddressLookupTableAccount:
        """A lookup table with all addresses of `instructions` but the payer and programs.

        Its bytes are written as the program of lookup tables lays them out; on a cluster it
        is created and extended by transactions, and used when it is finalized.
        """
        programs = {instruction.program_id for instruction in instructions}
        keys = dict.fromkeys(meta.pubkey for ix in instructions for meta in ix.accounts)
        addresses = [key for key in keys if key != payer and key not in programs]
        data = struct.pack("<IQQBB32sH", 1, 2**64 - 1, 0, 0, 1, bytes(payer), 0)
        data += b"".join(bytes(key) for key in addresses)
        key = Keypair().pubkey()
        lamports = self.svm.minimum_balance_for_rent_exemption(len(data))
        self.svm.set_account(key, Account(lamports, data, LOOKUP_TABLES))
        return AddressLookupTableAccount(key, addresses)


def create_token_account(payer: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey) -> Instruction:
    """Creates an associated token account unless it is there."""
    accounts = [
        AccountMeta(payer, is_signer=True, is_writable=True),
        writable(associated_token_account(owner, mint, program)),
        *(readonly(key) for key in (owner, mint, SYSTEM, program)),
    ]
    return Instruction(ATA, bytes([1]), accounts)


def sell_in_pool(world: World, liquidation: Liquidation) -> Leg:
    """A leg that sells all collateral in the fork's constant-product pool.

    On a cluster its place is taken by a leg of a real venue.
    """
    (pool,) = world.owned_by[POOL_PROGRAM]
    pool_authority = Pubkey.find_program_address([b"pool", bytes(pool)], POOL_PROGRAM)[0]
    authority, _ = swap_authority(liquidation.keeper)
    repay, withdraw = liquidation.repay, liquidation.withdraw
    accounts = [
        readonly(authority),
        readonly(pool),
        writable(liquidation.account(authority, withdraw)),
        writable(liquidation.account(authority, repay)),
        writable(liquidation.account(pool_authority, withdraw)),
        writable(liquidation.account(pool_authority, repay)),
        readonly(withdraw.mint),
        readonly(repay.mint),
        readonly(withdraw.token_program),
        readonly(repay.token_program),
        readonly(pool_authority),
    ]
    # Instruction 0, amount in (written on chain), least amount out (the guard is stricter).
    return Leg(POOL_PROGRAM, accounts, bytes(17), amount_in_offset=1)
