"""The receiver's instruction `liquidate` and its event, as docs/integrate.md lays them out."""

import struct
from base64 import b64decode
from dataclasses import dataclass, field

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from klend import (
    FARMS,
    INSTRUCTIONS_SYSVAR,
    KLEND,
    TOKEN,
    Obligation,
    Reserve,
    associated_token_account,
    farm_accounts,
    readonly,
    signer,
    writable,
)

# Your deployment has its own.
RECEIVER = Pubkey.from_string("FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx")
AS_MUCH_AS_POSSIBLE = 2**64 - 1


@dataclass(frozen=True)
class Leg:
    """One call of a swap program, signed by the swap authority where it appears."""

    program: Pubkey
    accounts: list
    data: bytes
    amount_in_offset: int
    input: int = 0

    def encode(self) -> bytes:
        """As an element of the argument `legs`."""
        head = struct.pack("<BBBH", 1 + len(self.accounts), self.input, 1, self.amount_in_offset)
        return head + struct.pack("<I", len(self.data)) + self.data


def swap_authority(keeper: Pubkey) -> tuple:
    """The keeper's swap authority and its bump."""
    return Pubkey.find_program_address([b"swap_authority", bytes(keeper)], RECEIVER)


@dataclass(frozen=True)
class Liquidation:
    """Who is liquidated by whom, for what, on which terms."""

    keeper: Pubkey
    obligation: Obligation
    repay: Reserve
    withdraw: Reserve
    legs: list = field(default_factory=list)
    min_profit: int = 1
    deadline_slot: int = 0

    def account(self, owner: Pubkey, reserve: Reserve) -> Pubkey:
        """The owner's account of a reserve's token."""
        return associated_token_account(owner, reserve.mint, reserve.token_program)

    @property
    def keeper_debt(self) -> Pubkey:
        """Where the loan arrives, the debt is paid from and the profit ends up."""
        return self.account(self.keeper, self.repay)

    @property
    def keeper_ctoken(self) -> Pubkey:
        """The keeper's cToken account; stays empty."""
        return associated_token_account(self.keeper, self.withdraw.ctoken_mint, TOKEN)

    def instruction(self, borrow_index: int, repay_index: int) -> Instruction:
        """`liquidate`, between the borrow and the repay that stand at these positions."""
        if self.obligation.elevation_group != 0:
            raise NotImplementedError(
                f"{self.obligation.address} is in elevation group "
                f"{self.obligation.elevation_group}: its deposit reserves go behind"
            )
        authority, bump = swap_authority(self.keeper)
        repay, withdraw = self.repay, self.withdraw
        accounts = [
            signer(self.keeper),
            writable(self.obligation.address),
            readonly(self.obligation.market),
            readonly(repay.market_authority),
            writable(repay.address),
            readonly(repay.mint),
            writable(repay.supply_vault),
            writable(withdraw.address),
            readonly(withdraw.mint),
            writable(withdraw.ctoken_mint),
            writable(withdraw.ctoken_vault),
            writable(withdraw.supply_vault),
            writable(withdraw.fee_vault),
            writable(self.keeper_debt),
            writable(self.keeper_ctoken),
            writable(self.account(self.keeper, withdraw)),
            readonly(TOKEN),
            readonly(repay.token_program),
            readonly(withdraw.token_program),
            readonly(INSTRUCTIONS_SYSVAR),
            *farm_accounts(withdraw.collateral_farm, self.obligation.address),
            *farm_accounts(repay.debt_farm, self.obligation.address),
            readonly(FARMS),
            readonly(KLEND),
            readonly(repay.address),
            readonly(authority),
            writable(self.account(authority, withdraw)),
            writable(self.account(authority, repay)),
        ]
        for leg in self.legs:
            accounts += [readonly(leg.program), *leg.accounts]
        data = bytes.fromhex("dfb3e27d302e274a") + struct.pack(
            "<QQqQBBBBBBBI",
            AS_MUCH_AS_POSSIBLE,
            1,
            self.min_profit,
            self.deadline_slot,
            borrow_index,
            repay_index,
            0,
            0,
            0,
            0,
            bump,
            len(self.legs),
        )
        return Instruction(RECEIVER, data + b"".join(leg.encode() for leg in self.legs), accounts)


EVENT = bytes.fromhex("e739374b00aaf644")
EVENT_KEYS = (
    "keeper obligation lending_market repay_reserve withdraw_reserve flash_reserve debt_mint "
    "collateral_mint"
).split()
EVENT_AMOUNTS = (
    "flash_loan flash_fee debt_repaid collateral_received protocol_fee ctokens_received "
    "collateral_sold swap_proceeds profit min_profit"
).split()


def decode_event(logs: list) -> dict:
    """The event `Liquidated` among the log lines of a transaction."""
    for line in logs:
        if not line.startswith("Program data: "):
            continue
        data = b64decode(line.removeprefix("Program data: "))
        if data[:8] != EVENT:
            continue
        keys = [Pubkey.from_bytes(data[at : at + 32]) for at in range(8, 8 + 8 * 32, 32)]
        amounts = struct.unpack_from("<8Q2q", data, 8 + 8 * 32)
        return dict(zip(EVENT_KEYS, keys)) | dict(zip(EVENT_AMOUNTS, amounts))
    raise ValueError(f"no event Liquidated in {len(logs)} log lines")
