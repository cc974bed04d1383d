"""Find an obligation that can be liquidated, liquidate it with a flash loan, read the event."""

from dataclasses import replace

from solders.compute_budget import set_compute_unit_limit
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from klend import KLEND, TOKEN, NotThisAccount, Obligation, Reserve, flash_loan, refresh
from receiver import Liquidation, decode_event, swap_authority
from world import Failed, World, create_token_account, sell_in_pool


def find(world: World, payer: Keypair) -> tuple:
    """The obligation that is unhealthy at this slot's prices, and its reserves by address.

    klend itself computes it: anybody may refresh. On a cluster the refresh is simulated.
    """
    for key in world.owned_by[KLEND]:
        try:
            obligation = Obligation.read(key, world.data(key))
        except NotThisAccount:
            continue
        reserves = {key: Reserve.read(key, world.data(key)) for key in obligation.reserves()}
        world.send(payer, refresh(obligation, reserves))
        obligation = Obligation.read(key, world.data(key))
        if obligation.was_liquidatable:
            return obligation, reserves
    raise SystemExit("every position of this fork is healthy")


def set_up(keeper: Pubkey, repay: Reserve, withdraw: Reserve) -> list:
    """Creates the token accounts a keeper and its swap authority need, once."""
    authority, _ = swap_authority(keeper)
    return [create_token_account(keeper, keeper, withdraw.ctoken_mint, TOKEN)] + [
        create_token_account(keeper, owner, reserve.mint, reserve.token_program)
        for owner in (keeper, authority)
        for reserve in (repay, withdraw)
    ]


def main() -> None:
    """Runs it all and checks the event against the balances."""
    world, keeper = World(), Keypair()
    world.svm.airdrop(keeper.pubkey(), 1_000_000_000)

    obligation, reserves = find(world, keeper)
    (debt_reserve, debt), (deposit_reserve, _) = obligation.debts[0], obligation.deposits[0]
    repay, withdraw = reserves[debt_reserve], reserves[deposit_reserve]
    world.send(keeper, set_up(keeper.pubkey(), repay, withdraw))

    terms = Liquidation(keeper.pubkey(), obligation, repay, withdraw)
    terms = replace(terms, legs=[sell_in_pool(world, terms)])
    # The whole debt and a little interest: klend takes what it allows, the rest goes back.
    amount = debt + debt // 1_000
    borrow, pay_back = flash_loan(repay, keeper.pubkey(), terms.keeper_debt, amount, index=1)
    instructions = [
        set_compute_unit_limit(400_000),
        borrow,
        *refresh(obligation, reserves),
        terms.instruction(borrow_index=1, repay_index=5),
        pay_back,
    ]
    table = world.lookup_table(instructions, keeper.pubkey())

    # What klend's rules and the pool allow is less than any profit: everything is undone.
    before = world.balance(terms.keeper_debt)
    greedy = replace(terms, min_profit=10**15).instruction(borrow_index=1, repay_index=5)
    try:
        world.send(keeper, [*instructions[:4], greedy, pay_back], [table])
    except Failed as failure:
        assert "Custom(7037)" in str(failure) or "7037" in str(failure), failure
    else:
        raise SystemExit("a profit of a billion was signed, less arrived, and it went through")
    assert world.balance(terms.keeper_debt) == before

    event = decode_event(world.send(keeper, instructions, [table]))
    units = 10**repay.decimals
    for name in ("flash_loan", "flash_fee", "debt_repaid", "swap_proceeds", "profit"):
        print(f"{name:<20}{event[name] / units:>20,.{repay.decimals}f}")
    print(f"{'collateral_received':<20}{event['collateral_received'] / 10**withdraw.decimals:>20,.9f}")

    kept = world.balance(terms.keeper_debt) - before
    assert event["profit"] == kept > 0, f"{kept} units arrived, the event says {event['profit']}"
    assert event["obligation"] == obligation.address and event["keeper"] == keeper.pubkey()


if __name__ == "__main__":
    main()
