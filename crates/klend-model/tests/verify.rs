//! Two states of a reserve against the model: what agrees, what differs, and what
//! says nothing.

mod support;

use klend_interface::state::{LendingMarket, Obligation, PodU128, Reserve};
use klend_model::{
    fields,
    liquidation::{Position, Request, quote_liquidation},
    table::ReserveTable,
    time::Clock,
    verify::{self, Change, Compared, Liquidated, Rule, Silent},
    version::KlendVersion,
};
use support::{
    KLEND, NOW, ONE, bsf, market, market_key, obligation, obligation_key, reserve, reserve_key,
};

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

fn plus(bits: PodU128) -> PodU128 {
    (u128::from(bits) + 1).into()
}

fn compare(after: &Reserve) -> Result<Vec<Compared>, Silent> {
    let mut market = market();
    market.reserve_rewards_max_apr_bps = u16::MAX;
    let clock = verify::moment(after).unwrap_or(NOW);
    let change = Change { key: reserve_key(0), before: &*before(), after };
    verify::reserve(KLEND, &market_key(), &market, &change, clock)
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
    for rule in [Rule::Interest, Rule::Debt, Rule::Fees, Rule::Rewards, Rule::Limits] {
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
    let mut rebased = after();
    fields::set_interest_rate_basis(&mut rebased.config, 0);
    assert_eq!(compare(&rebased), Err(Silent::OtherConfiguration));
    // klend 1.16 has six reserved bytes there, 1.24 four: a refresh clears them.
    let (mut slots, mut cleared) = (before(), before());
    slots.config.reserved_1 = [9; 4];
    slots.config.early_repay_remaining_interest_pct = 9;
    slots.config.emergency_mode = 1;
    cleared.last_update.slot += 12;
    cleared.config.reserved_1 = [0; 4];
    let change = Change { key: reserve_key(0), before: &*slots, after: &*cleared };
    let clock = Clock { slot: NOW.slot + 12, ..NOW };
    let compare_by = |version| verify::reserve(version, &market_key(), &market(), &change, clock);
    let compared = compare_by(KlendVersion::V1_16).unwrap();
    assert!(compared.iter().any(|one| one.rule == Rule::Interest && !one.agrees()));
    assert_eq!(compare_by(KlendVersion::V1_24), Err(Silent::OtherConfiguration));
    let mut timeless = after();
    fields::set_timestamp(&mut timeless.last_update, 0);
    assert_eq!(compare(&timeless), Err(Silent::NoTime));
}

/// A liquidation as a feed shows it: a debt of 7,800 against collateral worth 10,000,
/// of which a fifth is repaid. Prices came with the slot.
#[derive(Clone)]
struct Seen {
    market: Box<LendingMarket>,
    reserves: [[Box<Reserve>; 2]; 2],
    obligation: [Box<Obligation>; 2],
    request: Request,
}

const TOKEN: u64 = 1_000_000;
const LATER: Clock = Clock { slot: NOW.slot + 12, unix_timestamp: NOW.unix_timestamp + SECONDS };

impl Seen {
    /// What the model makes of it; that klend makes the same of it is what the
    /// differential suite is for.
    fn new(amount: u64) -> Self {
        let market = market();
        let before = [reserve(0, 10), reserve(1, 1)];
        let mut after = before.clone();
        after[0].liquidity.market_price_sf = (u128::from(9u8) * ONE).into();
        for account in &mut after {
            account.last_update.slot = LATER.slot;
            fields::set_timestamp(&mut account.last_update, LATER.unix_timestamp as u32);
            account.last_update.stale = 1;
            account.liquidity.market_price_last_updated_ts = LATER.unix_timestamp;
        }
        let mut priced = before.clone();
        priced[0].liquidity.market_price_sf = after[0].liquidity.market_price_sf;
        let owed = obligation(&[(0, 1000 * TOKEN)], &[(1, 7_800 * TOKEN)]);
        let request = Request {
            repay_reserve: reserve_key(1),
            withdraw_reserve: reserve_key(0),
            amount,
            min_received: 0,
            flash_loan: None,
        };
        let keyed = [(reserve_key(0), &*priced[0]), (reserve_key(1), &*priced[1])];
        let position = Position {
            market: (market_key(), &market),
            reserves: &keyed,
            obligation: (obligation_key(), &owed),
        };
        let quote = quote_liquidation(KLEND, &position, &request, LATER, None).unwrap();
        let table = ReserveTable::refresh(KLEND, &market_key(), &market, &keyed, LATER, None);
        let health = table.health(&obligation_key(), &owed).unwrap();
        for (account, left) in
            after.iter_mut().zip([quote.after.withdraw_reserve, quote.after.repay_reserve])
        {
            account.liquidity.total_available_amount = left.available;
            account.liquidity.borrowed_amount_sf = left.borrowed.into();
            account.collateral.mint_total_supply = left.ctoken_supply;
        }
        let mut left = owed.clone();
        left.last_update = after[0].last_update;
        left.deposits[0].deposited_amount = quote.after.deposit;
        left.borrows[0].borrowed_amount_sf = quote.after.debt.into();
        let grown = table.reserve(&reserve_key(1)).unwrap().cumulative_borrow_rate;
        left.borrows[0].cumulative_borrow_rate_bsf = bsf(grown.to_bits());
        left.deposited_value_sf = health.deposited_value.into();
        left.borrowed_assets_market_value_sf = health.borrowed_value.into();
        left.borrow_factor_adjusted_debt_value_sf = health.adjusted_debt_value.into();
        left.allowed_borrow_value_sf = health.allowed_borrow_value.into();
        left.unhealthy_borrow_value_sf = health.unhealthy_borrow_value.into();
        let [first, second] = before;
        let [first_after, second_after] = after;
        let reserves = [[first, first_after], [second, second_after]];
        Self { market, reserves, obligation: [owed, left], request }
    }

    fn with<T>(&self, look: impl FnOnce(&Liquidated<'_>) -> T) -> T {
        let reserves: Vec<_> = self
            .reserves
            .iter()
            .enumerate()
            .map(|(i, [before, after])| Change { key: reserve_key(i), before: &**before, after })
            .collect();
        let [before, after] = &self.obligation;
        look(&Liquidated {
            market: (market_key(), &self.market),
            reserves: &reserves,
            obligation: Change { key: obligation_key(), before, after },
            clock: LATER,
        })
    }

    fn compare(&self, request: &Request) -> Result<Vec<Compared>, Silent> {
        self.with(|seen| seen.compare(KLEND, request))
    }

    /// Rules that differ once `change` was made.
    fn differing(&self, change: impl FnOnce(&mut Self)) -> Vec<Rule> {
        let mut changed = self.clone();
        change(&mut changed);
        let compared = changed.compare(&self.request).unwrap();
        let differing = compared.iter().filter(|one| !one.agrees()).map(|one| one.rule);
        let mut rules: Vec<_> = differing.collect();
        rules.dedup();
        rules
    }
}

#[test]
fn a_liquidation_agrees_in_every_rule_and_one_unit_is_a_difference() {
    let seen = Seen::new(u64::MAX);
    let compared = seen.compare(&seen.request).unwrap();
    assert!(compared.iter().all(Compared::agrees), "{compared:#?}");
    for rule in [Rule::Health, Rule::Reason, Rule::Repayment, Rule::Seizure, Rule::Redemption] {
        assert!(compared.iter().any(|one| one.rule == rule), "{rule} is compared");
    }
    let health = |seen: &mut Seen| {
        let [_, after] = &mut seen.obligation;
        after.unhealthy_borrow_value_sf = plus(after.unhealthy_borrow_value_sf);
    };
    assert_eq!(seen.differing(health), [Rule::Health]);
    let debt = |seen: &mut Seen| {
        let [_, after] = &mut seen.obligation;
        after.borrows[0].borrowed_amount_sf = plus(after.borrows[0].borrowed_amount_sf);
    };
    assert_eq!(seen.differing(debt), [Rule::Repayment]);
    let seized = |seen: &mut Seen| seen.obligation[1].deposits[0].deposited_amount -= 1;
    assert_eq!(seen.differing(seized), [Rule::Seizure]);
    let paid_out = |seen: &mut Seen| seen.reserves[0][1].liquidity.total_available_amount -= 1;
    assert_eq!(seen.differing(paid_out), [Rule::Redemption]);
    // Healthy by the price that the reserve has: klend did what the model says it would
    // not, and its values are others.
    let price = |seen: &mut Seen| {
        seen.reserves[0][1].liquidity.market_price_sf = (20 * ONE).into();
    };
    assert_eq!(seen.differing(price), [Rule::Health, Rule::Reason]);
}

#[test]
fn what_was_asked_for_is_guessed_from_what_was_repaid() {
    for amount in [u64::MAX, 1_000 * TOKEN] {
        let seen = Seen::new(amount);
        let guesses = seen.with(|seen| seen.guesses()).unwrap();
        let agreeing = guesses.map(|guess| {
            assert_eq!(guess.repay_reserve, reserve_key(1));
            assert_eq!(guess.withdraw_reserve, reserve_key(0));
            seen.compare(&guess).unwrap().iter().all(Compared::agrees)
        });
        assert_eq!(agreeing, [amount == u64::MAX, true], "{amount}");
    }
    // A debt that is gone was repaid whole; nobody who only withdrew was liquidated.
    let mut gone = Seen::new(u64::MAX);
    gone.obligation[1].borrows[0] = bytemuck::Zeroable::zeroed();
    let [_, whole] = gone.with(|seen| seen.guesses()).unwrap();
    assert_eq!(whole.amount, 7_800 * TOKEN);
    let [before, after] = gone.obligation.clone();
    assert!(verify::pair(&before, &before).is_none());
    let mut withdrew = before.clone();
    withdrew.deposits[0].deposited_amount -= 1;
    assert!(verify::pair(&before, &withdrew).is_none());
    assert_eq!(verify::pair(&before, &after), Some((reserve_key(1), reserve_key(0))));
}

#[test]
fn a_liquidation_is_left_alone_where_a_reserve_was_not_seen() {
    let seen = Seen::new(u64::MAX);
    let mut early = seen.clone();
    early.reserves[0][1].last_update.slot -= 1;
    assert_eq!(early.compare(&seen.request), Err(Silent::Unseen(reserve_key(0))));
    let mut configured = seen.clone();
    configured.reserves[1][1].config.liquidation_threshold_pct -= 1;
    assert_eq!(configured.compare(&seen.request), Err(Silent::OtherConfiguration));
    let mut foreign = seen.clone();
    foreign.obligation[0].borrows[0].borrow_reserve = klend_model::keys::to_v2(&reserve_key(7));
    assert_eq!(foreign.compare(&seen.request), Err(Silent::Unseen(reserve_key(7))));
    // Refreshed again since: its values say nothing about the liquidation.
    let mut again = seen.clone();
    again.obligation[1].last_update.stale = 0;
    let compared = again.compare(&seen.request).unwrap();
    assert!(compared.iter().all(|one| one.rule != Rule::Health && one.agrees()));
}
