//! Two states of a reserve against the model: what agrees, what differs, and what
//! says nothing.

mod support;

use klend_interface::state::Reserve;
use klend_model::{
    fields,
    reserve::Clock,
    verify::{self, Compared, Rule, Silent},
};
use support::{KLEND, NOW, ONE, bsf, market, market_key, reserve, reserve_key};

const SECONDS: u64 = 5;

fn before() -> Box<Reserve> {
    let mut account = reserve(0, 1);
    fields::set_interest_rate_basis(&mut account.config, 1);
    account.config.rewards_amount_per_slot = 7;
    account.liquidity.rewards_amount_available = 1_000;
    account.config.borrow_limit = 1;
    account
}

/// The same five seconds later, by hand: 2.5 % a year of a million tokens, a
/// tenth of it for the protocol, 35 units of rewards.
fn after() -> Box<Reserve> {
    let mut account = before();
    account.last_update.slot += 12;
    fields::set_timestamp(&mut account.last_update, (NOW.unix_timestamp + SECONDS) as u32);
    let rate = ONE * 400 / 10_000 * 5_000 / 8_000;
    let unit = rate / 31_536_000;
    // So small that the second term is one unit of 2⁻⁶⁰ and the third none.
    let first = unit * 5;
    let second = ((first * unit) >> 60) * 4 / 2;
    let growth = ONE + first + second + ((second * unit) >> 60);
    let debt = 1_000_000_000_000u128;
    let interest = debt * (growth - ONE);
    account.liquidity.cumulative_borrow_rate_bsf = bsf(growth);
    account.liquidity.borrowed_amount_sf = (debt * growth).into();
    let take = ONE * 10 / 100;
    let wide = (interest >> 30) * take + (((interest & ((1 << 30) - 1)) * take) >> 30);
    account.liquidity.accumulated_protocol_fees_sf = (wide >> 30).into();
    account.liquidity.rewards_amount_available -= 35;
    account.liquidity.total_available_amount += 35;
    account.liquidity.borrow_limit_crossed_timestamp = NOW.unix_timestamp + SECONDS;
    account
}

fn compare(after: &Reserve) -> Result<Vec<Compared>, Silent> {
    let mut market = market();
    market.reserve_rewards_max_apr_bps = u16::MAX;
    let clock = verify::moment(after).unwrap_or(NOW);
    verify::reserve(KLEND, &market_key(), &market, &reserve_key(0), &before(), after, clock)
}

fn differing(after: &Reserve) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        compare(after).unwrap().iter().filter(|one| !one.agrees()).map(|one| one.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_refresh_agrees_in_every_rule() {
    let compared = compare(&after()).unwrap();
    for one in &compared {
        assert!(one.agrees(), "{one}");
    }
    for rule in Rule::ALL {
        assert!(compared.iter().any(|one| one.rule == rule), "{rule} is compared");
    }
    let moment = Clock { slot: NOW.slot + 12, unix_timestamp: NOW.unix_timestamp + SECONDS };
    assert_eq!(verify::moment(&after()), Some(moment));
}

#[test]
fn one_unit_is_a_difference_of_its_rule() {
    let with = |change: &dyn Fn(&mut Reserve)| {
        let mut account = after();
        change(&mut account);
        differing(&account)
    };
    let plus = |bits: klend_interface::state::PodU128| (u128::from(bits) + 1).into();
    assert_eq!(with(&|a| a.liquidity.cumulative_borrow_rate_bsf.value[0] += 1), [Rule::Interest]);
    assert_eq!(
        with(&|a| a.liquidity.borrowed_amount_sf = plus(a.liquidity.borrowed_amount_sf)),
        [Rule::Debt]
    );
    assert_eq!(
        with(&|a| {
            let fees = &mut a.liquidity.accumulated_protocol_fees_sf;
            *fees = plus(*fees);
        }),
        [Rule::Fees]
    );
    assert_eq!(
        with(&|a| {
            a.liquidity.rewards_amount_available -= 1;
            a.liquidity.total_available_amount += 1;
        }),
        [Rule::Rewards]
    );
    assert_eq!(with(&|a| a.liquidity.borrow_limit_crossed_timestamp += 1), [Rule::Limits]);
}

#[test]
fn what_more_than_a_refresh_did_is_left_out() {
    let mut deposit = after();
    deposit.liquidity.total_available_amount += 1_000;
    deposit.collateral.mint_total_supply += 1_000;
    deposit.liquidity.borrowed_amount_sf = 5u128.into();
    let compared = compare(&deposit).unwrap();
    assert_eq!(compared.len(), 1);
    assert!(compared[0].rule == Rule::Interest && compared[0].agrees());
}

#[test]
fn what_says_nothing_is_no_agreement() {
    assert_eq!(compare(&before()), Err(Silent::NoRefresh));
    let mut configured = after();
    configured.config.borrow_factor_pct += 1;
    assert_eq!(compare(&configured), Err(Silent::OtherConfiguration));
    let mut timeless = after();
    fields::set_timestamp(&mut timeless.last_update, 0);
    assert_eq!(compare(&timeless), Err(Silent::NoTime));
}
