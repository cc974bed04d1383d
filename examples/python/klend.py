"""klend's accounts and instructions, as docs/integrate.md lays them out.

Nothing here comes from another client of this repository: the page is all that was used.
"""

import struct
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

KLEND = Pubkey.from_string("KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD")
FARMS = Pubkey.from_string("FarmsPZpWu9i7Kky8tPN37rs2TpmMrAZrC7S7vJa91Hr")
INSTRUCTIONS_SYSVAR = Pubkey.from_string("Sysvar1nstructions1111111111111111111111111")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ATA = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")

# What klend writes where there is nothing.
NO_ORACLE = Pubkey.from_string("nu11111111111111111111111111111111111111111")
NONE = Pubkey.default()

OBLIGATION_DISCRIMINATOR = bytes.fromhex("a8ce8d6a584caca7")
RESERVE_DISCRIMINATOR = bytes.fromhex("2bf2ccca1af73b7f")


class NotThisAccount(ValueError):
    """The bytes are not the account they were taken for."""


def _key(data: bytes, offset: int) -> Pubkey:
    return Pubkey.from_bytes(data[offset : offset + 32])


def _u64(data: bytes, offset: int) -> int:
    return struct.unpack_from("<Q", data, offset)[0]


def _u128(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 16], "little")


def _expect(address: Pubkey, data: bytes, discriminator: bytes, length: int, what: str) -> None:
    if data[:8] != discriminator or len(data) < length:
        raise NotThisAccount(
            f"{address} is no {what}: it begins with {data[:8].hex()} and has {len(data)} bytes, "
            f"expected {discriminator.hex()} and at least {length}"
        )


def readonly(key: Pubkey) -> AccountMeta:
    """An account that is only read."""
    return AccountMeta(key, is_signer=False, is_writable=False)


def writable(key: Pubkey) -> AccountMeta:
    """An account that is written."""
    return AccountMeta(key, is_signer=False, is_writable=True)


def signer(key: Pubkey) -> AccountMeta:
    """An account that signs."""
    return AccountMeta(key, is_signer=True, is_writable=False)


def associated_token_account(owner: Pubkey, mint: Pubkey, token_program: Pubkey) -> Pubkey:
    """Where a wallet keeps its tokens of a mint."""
    seeds = [bytes(owner), bytes(token_program), bytes(mint)]
    return Pubkey.find_program_address(seeds, ATA)[0]


@dataclass(frozen=True)
class Reserve:
    """The addresses that klend's instructions want with a reserve."""

    address: Pubkey
    market: Pubkey
    collateral_farm: Pubkey
    debt_farm: Pubkey
    mint: Pubkey
    supply_vault: Pubkey
    fee_vault: Pubkey
    token_program: Pubkey
    ctoken_mint: Pubkey
    ctoken_vault: Pubkey
    oracles: tuple  # pyth, switchboard price, switchboard TWAP, scope
    decimals: int

    @classmethod
    def read(cls, address: Pubkey, data: bytes) -> "Reserve":
        """From the account's bytes."""
        _expect(address, data, RESERVE_DISCRIMINATOR, 8624, "reserve")
        return cls(
            address=address,
            market=_key(data, 32),
            collateral_farm=_key(data, 64),
            debt_farm=_key(data, 96),
            mint=_key(data, 128),
            supply_vault=_key(data, 160),
            fee_vault=_key(data, 192),
            token_program=_key(data, 408),
            ctoken_mint=_key(data, 2560),
            ctoken_vault=_key(data, 2600),
            oracles=tuple(_key(data, offset) for offset in (5224, 5160, 5192, 5112)),
            decimals=_u64(data, 272),
        )

    @property
    def market_authority(self) -> Pubkey:
        """The PDA of klend that owns the vaults."""
        return Pubkey.find_program_address([b"lma", bytes(self.market)], KLEND)[0]

    def refresh_accounts(self) -> list:
        """What `refresh_reserves_batch` wants for one reserve."""
        oracles = [KLEND if key in (NONE, NO_ORACLE) else key for key in self.oracles]
        return [writable(self.address), readonly(self.market)] + [readonly(key) for key in oracles]


@dataclass(frozen=True)
class Obligation:
    """What a liquidation needs to know of an obligation."""

    address: Pubkey
    market: Pubkey
    deposits: list  # (reserve, cTokens)
    debts: list  # (reserve, units rounded up)
    debt_value: int
    unhealthy_value: int
    elevation_group: int
    referrer: Pubkey

    @classmethod
    def read(cls, address: Pubkey, data: bytes) -> "Obligation":
        """From the account's bytes."""
        _expect(address, data, OBLIGATION_DISCRIMINATOR, 3344, "obligation")
        deposits = [(_key(data, at), _u64(data, at + 32)) for at in range(96, 96 + 8 * 136, 136)]
        debts = [
            (_key(data, at), -(-_u128(data, at + 88) // 2**60))
            for at in range(1208, 1208 + 5 * 200, 200)
        ]
        return cls(
            address=address,
            market=_key(data, 32),
            deposits=[deposit for deposit in deposits if deposit[0] != NONE],
            debts=[debt for debt in debts if debt[0] != NONE],
            debt_value=_u128(data, 2208),
            unhealthy_value=_u128(data, 2256),
            elevation_group=data[2285],
            referrer=_key(data, 2288),
        )

    def reserves(self) -> list:
        """Its reserves in slot order: deposits, then debts; one may appear twice."""
        return [reserve for reserve, _ in self.deposits + self.debts]

    @property
    def was_liquidatable(self) -> bool:
        """Whether its debt was worth more than its deposits carry, when last refreshed."""
        return self.debt_value > self.unhealthy_value


def refresh(obligation: Obligation, reserves: dict) -> list:
    """`refresh_reserves_batch` of all its reserves and `refresh_obligation`: nobody signs."""
    if obligation.referrer != NONE:
        raise NotImplementedError(f"{obligation.address} has a referrer, whose accounts go behind")
    distinct = dict.fromkeys(obligation.reserves())
    batch = [meta for key in distinct for meta in reserves[key].refresh_accounts()]
    keys = [writable(key) for key in obligation.reserves()]
    return [
        Instruction(KLEND, bytes.fromhex("906e1a67a2ccfc93") + b"\0", batch),
        Instruction(
            KLEND,
            bytes.fromhex("218493e497c04859"),
            [readonly(obligation.market), writable(obligation.address)] + keys,
        ),
    ]


def flash_loan(reserve: Reserve, keeper: Pubkey, account: Pubkey, amount: int, index: int) -> tuple:
    """The two halves of a flash loan; `index` is where the borrow stands in the transaction."""
    accounts = [
        signer(keeper),
        readonly(reserve.market_authority),
        readonly(reserve.market),
        writable(reserve.address),
        readonly(reserve.mint),
        writable(reserve.supply_vault),
        writable(account),
        writable(reserve.fee_vault),
        readonly(KLEND),
        readonly(KLEND),
        readonly(INSTRUCTIONS_SYSVAR),
        readonly(reserve.token_program),
    ]
    amount = struct.pack("<Q", amount)
    borrow = Instruction(KLEND, bytes.fromhex("87e734a70734d4c1") + amount, accounts)
    repay = bytes.fromhex("b97500cb60f5b4ba") + amount + bytes([index])
    return borrow, Instruction(KLEND, repay, accounts)


def farm_accounts(farm: Pubkey, obligation: Pubkey) -> list:
    """The obligation's user state in a farm and the farm, or klend's id twice."""
    if farm == NONE:
        return [readonly(KLEND), readonly(KLEND)]
    user = Pubkey.find_program_address([b"user", bytes(farm), bytes(obligation)], FARMS)[0]
    return [writable(user), writable(farm)]
