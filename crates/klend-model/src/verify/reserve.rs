//! A reserve's refresh.

use klend_interface::state::{LendingMarket, Reserve};
use solana_address::Address;

use super::{Change, Compared, Rule, Silent, check_comparable};
use crate::{
    fields, fraction::Fraction, refresh, reserve::ReserveState, time::Clock, version::KlendVersion,
};

/// Compares what a refresh made of a reserve with what the model makes of it.
///
/// What else happened to the reserve decides what can be compared: the cumulative
/// rate always, the rest only where nothing but a refresh happened. `clock` is the
/// moment of the later state; since klend 1.25 the account says it itself
/// ([`moment`](super::moment)).
///
/// # Errors
/// [`Silent`], where there is nothing to compare.
pub fn reserve(
    version: KlendVersion,
    market_key: &Address,
    market: &LendingMarket,
    change: &Change<'_, Reserve>,
    clock: Clock,
) -> Result<Vec<Compared>, Silent> {
    let Change { key, before, after } = change;
    if (after.last_update.slot, fields::timestamp(&after.last_update))
        == (before.last_update.slot, fields::timestamp(&before.last_update))
    {
        return Err(Silent::NoRefresh);
    }
    check_comparable(version, change)?;
    let model = refresh::reserve(version, market_key, market, key, before, clock, None)
        .map_err(Silent::Refused)?;
    let chain = ReserveState::stored(version, key, after).map_err(Silent::Refused)?;
    let mut compared = Vec::with_capacity(8);
    let mut compare = |rule, what, chain: u128, model: u128| {
        compared.push(Compared { rule, what, chain, model });
    };
    let bits = Fraction::to_bits;
    compare(
        Rule::Interest,
        "cumulative borrow rate",
        bits(chain.cumulative_borrow_rate),
        bits(model.cumulative_borrow_rate),
    );
    // Tokens that came or went: more than a refresh happened.
    let held =
        |state: &ReserveState<'_>| u128::from(state.available) + u128::from(state.rewards_pot);
    let moved = chain.ctoken_supply != model.ctoken_supply || held(&chain) != held(&model);
    if moved {
        return Ok(compared);
    }
    compare(Rule::Debt, "borrowed", bits(chain.borrowed), bits(model.borrowed));
    compare(Rule::Rewards, "pot", chain.rewards_pot.into(), model.rewards_pot.into());
    // Referrers' part is taken out of the pending fees when obligations are
    // refreshed, which leaves no other trace here.
    if model.absolute_referral_rate == Fraction::ZERO {
        compare(Rule::Fees, "protocol", bits(chain.protocol_fees), bits(model.protocol_fees));
        compare(
            Rule::Fees,
            "pending for referrers",
            bits(chain.pending_referrer_fees),
            bits(model.pending_referrer_fees),
        );
    }
    compare(
        Rule::Limits,
        "deposit limit crossed at",
        chain.deposit_limit_crossed_at.into(),
        model.deposit_limit_crossed_at.into(),
    );
    compare(
        Rule::Limits,
        "borrow limit crossed at",
        chain.borrow_limit_crossed_at.into(),
        model.borrow_limit_crossed_at.into(),
    );
    Ok(compared)
}
