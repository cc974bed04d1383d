//! Random positions that reach every branch of a liquidation.

use std::ops::RangeInclusive;

use bytemuck::Zeroable;
use klend_interface::state::{
    BorrowRateCurve, CurvePoint, ElevationGroup, LendingMarket, Obligation, ObligationOrder,
    Reserve,
};
use klend_model::{
    constants::{PYTH_RECEIVER_PROGRAM_ID, SCOPE_PROGRAM_ID, SWITCHBOARD_ON_DEMAND_PROGRAM_ID},
    fields, keys,
};

use crate::{
    machine::{Of, TOKEN_PROGRAM, authority, market_key, of, owner_key, reserve_key, scope_key},
    rng::Rng,
    world::{
        Ask, NOW, ONE, RESERVES, ScopeEntry, World, bits_of, bsf, pyth_data, scope_data,
        switchboard_data,
    },
};

/// What a case aims at. The program decides what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    Ltv,
    BadDebt,
    Individual,
    WideCollateral,
    WideDebt,
    Maturity,
    Term,
    Order(u8),
    Healthy,
}

impl Aim {
    /// Reasons that do not need a price to fall.
    fn is_deleveraging(self) -> bool {
        !matches!(self, Self::Ltv | Self::BadDebt | Self::Order(_) | Self::Healthy)
    }
}

const AIMS: [Aim; 14] = [
    Aim::Ltv,
    Aim::BadDebt,
    Aim::Individual,
    Aim::WideCollateral,
    Aim::WideDebt,
    Aim::Maturity,
    Aim::Term,
    Aim::Order(1),
    Aim::Order(2),
    Aim::Order(3),
    Aim::Order(4),
    Aim::Order(5),
    Aim::Order(6),
    Aim::Healthy,
];

fn random_market(rng: &mut Rng) -> Box<LendingMarket> {
    let mut market = Box::<LendingMarket>::new(Zeroable::zeroed());
    market.version = 1;
    market.bump_seed = u64::from(authority().1);
    market.quote_currency[..3].copy_from_slice(b"USD");
    market.global_allowed_borrow_value = rng.pick(&[45_000_000, 45_000_000, 1_000]);
    market.referral_fee_bps = rng.pick(&[0, 0, 500, 2000]);
    market.price_refresh_trigger_to_max_age_pct = rng.pick(&[0, 0, 30, 100]);
    market.liquidation_max_debt_close_factor_pct = rng.pick(&[5, 10, 20, 50, 100]);
    market.insolvency_risk_unhealthy_ltv_pct = rng.pick(&[80, 95, 95, 100]);
    market.min_full_liquidation_value_threshold = rng.pick(&[0, 2, 2, 50, 10_000]);
    market.max_liquidatable_debt_market_value_at_once =
        rng.pick(&[1, 1_000, 500_000, 2_500_000, 500_000_000]);
    market.min_value_skip_liquidation_ltv_checks = rng.pick(&[0, 0, 100, 10_000]);
    market.min_value_skip_liquidation_bf_checks = rng.pick(&[0, 0, 100, 10_000]);
    market.reserve_rewards_max_apr_bps = rng.pick(&[0, 1, 500, 10_000, u16::MAX]);
    market
}

fn random_curve(rng: &mut Rng) -> BorrowRateCurve {
    let mut points = [CurvePoint::zeroed(); 11];
    let nodes = rng.range(2, 11) as usize;
    let mut rate = rng.range(0, 200) as u32;
    for (i, point) in points.iter_mut().enumerate() {
        let share = (i.min(nodes - 1) * 10_000 / (nodes - 1)) as u32;
        point.utilization_rate_bps = share;
        point.borrow_rate_bps = rate;
        if i + 1 < nodes {
            rate += rng.range(0, 3000) as u32;
        }
    }
    BorrowRateCurve { points }
}

/// What the reserve's interest counts, and since when: any number of seconds, a
/// clock that went back, a time that was never written.
fn random_time(rng: &mut Rng, reserve: &mut Reserve) {
    fields::set_interest_rate_basis(&mut reserve.config, rng.pick(&[0, 1]));
    let seconds = rng.pick(&[0, 1, 2, 3, 4, 5, 17, 400, 100_000, 5_000_000]);
    let saved = match rng.range(0, 19) {
        0 => 0,
        1 => NOW.unix_timestamp + seconds,
        _ => NOW.unix_timestamp - seconds,
    };
    let saved = u32::try_from(saved).expect("a time within 32 bits");
    fields::set_timestamp(&mut reserve.last_update, saved);
}

/// Rewards: none, or limited by their rate, by the pot or by the market's cap.
fn random_rewards(rng: &mut Rng, reserve: &mut Reserve) {
    if rng.chance(60) {
        return;
    }
    reserve.config.rewards_amount_per_slot = rng.pick(&[0, 1, 1_000, 1 << 40, u64::MAX]);
    reserve.liquidity.rewards_amount_available = rng.pick(&[0, 1, 1_000_000, 1 << 50]);
}

fn random_reserve(rng: &mut Rng, index: usize, scope: &mut Vec<ScopeEntry>) -> (Box<Reserve>, f64) {
    let mut reserve = Box::<Reserve>::new(Zeroable::zeroed());
    let decimals = rng.pick(&[5u64, 6, 6, 8, 9]);
    let price = rng.magnitude(0.001, 50_000.0);
    let exponent = rng.pick(&[8u64, 10, 12]);
    let value = ((price * 10f64.powi(exponent as i32)) as u64).max(1);
    let price = value as f64 / 10f64.powi(exponent as i32);
    let unit = 10f64.powi(decimals as i32);
    let time = NOW.unix_timestamp - rng.range(0, 60);
    scope.push(ScopeEntry { entry: index, value, exponent, time });
    let twap = (value as f64 * rng.between(0.98, 1.02)) as u64;
    let time = NOW.unix_timestamp - rng.range(0, 300);
    scope.push(ScopeEntry { entry: index + 100, value: twap, exponent, time });

    reserve.version = 1;
    reserve.last_update.slot =
        NOW.slot - rng.pick(&[0, 1, 2, 3, 4, 5, 17, 400, 100_000, 5_000_000]);
    reserve.last_update.stale = 1;
    reserve.last_update.price_status = 0x3f;
    random_time(rng, &mut reserve);
    reserve.lending_market = keys::to_v2(&market_key());

    // As much as fits comfortably into 64 bits of raw units.
    let supply_value = rng.magnitude(1e4, 1e9);
    let supply = (supply_value / price * unit).clamp(1e6, 4e17);
    let utilization = rng.pick(&[0.0, 0.3, 0.7, 0.8, 0.95, 0.999, 1.0]);
    let available = (supply * (1.0 - utilization)) as u64;
    let liquidity = &mut reserve.liquidity;
    liquidity.mint_pubkey = keys::to_v2(&of(index, Of::Mint));
    liquidity.supply_vault = keys::to_v2(&of(index, Of::Supply));
    liquidity.fee_vault = keys::to_v2(&of(index, Of::Fees));
    liquidity.token_program = keys::to_v2(&TOKEN_PROGRAM);
    liquidity.mint_decimals = decimals;
    liquidity.total_available_amount = available;
    liquidity.borrowed_amount_sf = rng.fraction(supply * utilization).into();
    let saved_price = price * rng.between(0.9, 1.1);
    liquidity.market_price_sf = rng.fraction(saved_price).into();
    liquidity.market_price_last_updated_ts = NOW.unix_timestamp - rng.range(0, 500);
    let cumulative = ONE + u128::from(rng.next() >> 4);
    liquidity.cumulative_borrow_rate_bsf = bsf(cumulative);
    liquidity.accumulated_protocol_fees_sf = rng.fraction(supply * 1e-6).into();
    liquidity.accumulated_referrer_fees_sf = rng.fraction(supply * 1e-8).into();
    liquidity.pending_referrer_fees_sf = rng.fraction(supply * 1e-8).into();

    liquidity.absolute_referral_rate_sf = rng.pick(&[0, ONE / 50]).into();
    random_rewards(rng, &mut reserve);

    let collateral = &mut reserve.collateral;
    collateral.mint_pubkey = keys::to_v2(&of(index, Of::CtokenMint));
    collateral.supply_vault = keys::to_v2(&of(index, Of::CtokenSupply));
    let rate = rng.pick(&[1.0, 1.0001, 1.05, 1.37, 20.0]);
    collateral.mint_total_supply = (supply / rate) as u64 + 1;

    let config = &mut reserve.config;
    config.host_fixed_interest_rate_bps = rng.pick(&[0, 0, 100, 350]);
    config.protocol_take_rate_pct = rng.pick(&[0, 10, 15, 100]);
    config.protocol_liquidation_fee_pct = rng.pick(&[0, 10, 50, 100]);
    config.protocol_order_execution_fee_pct = rng.pick(&[0, 10, 50]);
    config.liquidation_threshold_pct = rng.pick(&[40, 65, 75, 75, 80, 90]);
    config.loan_to_value_pct = config.liquidation_threshold_pct - rng.range(0, 10) as u8;
    config.min_liquidation_bonus_bps = rng.pick(&[0, 50, 100, 200, 500]);
    config.max_liquidation_bonus_bps =
        config.min_liquidation_bonus_bps + rng.pick(&[0, 100, 500, 1500]);
    config.bad_debt_liquidation_bonus_bps = rng.range(0, 99) as u16;
    config.min_deleveraging_bonus_bps = rng.pick(&[0, 50, 200]);
    config.deleveraging_bonus_increase_bps_per_day = rng.pick(&[0, 7, 100, 1000]);
    config.deleveraging_margin_call_period_secs = rng.pick(&[1, 3600, 259_200]);
    config.deleveraging_threshold_decrease_bps_per_day = rng.pick(&[1, 24, 3000]);
    config.borrow_factor_pct = rng.pick(&[100, 100, 100, 125, 150, 200]);
    config.borrow_rate_curve = random_curve(rng);
    config.fees.flash_loan_fee_sf = rng.pick(&[0, 11_529_215_046_068, 1 << 50]);
    config.deposit_limit = u64::MAX;
    config.borrow_limit = u64::MAX;
    let info = &mut config.token_info;
    info.max_age_price_seconds = 180;
    info.max_age_twap_seconds = 240;
    info.max_twap_divergence_bps = rng.pick(&[0, 100, 300]);
    info.scope_configuration.price_feed = keys::to_v2(&scope_key());
    info.scope_configuration.price_chain = [index as u16, u16::MAX, u16::MAX, u16::MAX];
    info.scope_configuration.twap_chain = [index as u16 + 100, u16::MAX, u16::MAX, u16::MAX];
    (reserve, price)
}

/// A position and a liquidation of it.
pub fn case(rng: &mut Rng) -> (Aim, World, Ask) {
    let aim = rng.pick(&AIMS);
    let mut world = empty_world(rng);
    let single = matches!(aim, Aim::Order(_)) || rng.chance(50);
    let (deposits, borrows) = match rng.range(0, 19) {
        _ if single => (1, 1),
        0 => (8, 5),
        _ => (rng.range(1, 4) as usize, rng.range(1, 3) as usize),
    };
    let same = rng.chance(4);
    let deposit_reserves: Vec<usize> = (0..deposits).collect();
    let borrow_reserves: Vec<usize> =
        if same { vec![0] } else { (deposits..deposits + borrows).collect() };
    let in_group = rng.chance(12) && borrow_reserves.len() == 1 && !same;
    if in_group {
        enter_group(rng, &mut world, &deposit_reserves, borrow_reserves[0]);
    }

    // Deposits: random values, cTokens from them.
    let total = rng.magnitude(0.01, 3e6);
    let (mut deposited, mut unhealthy) = (0.0, 0.0);
    for (slot, index) in deposit_reserves.iter().enumerate() {
        let (reserve, price) = (&world.reserves[*index], world.prices[*index]);
        let ctokens = ctokens_worth(reserve, price, total * rng.between(0.05, 1.0));
        let value = worth_of(reserve, price, ctokens);
        let threshold = if in_group { 92 } else { reserve.config.liquidation_threshold_pct };
        // Leave gaps: klend keeps deposits in their slots.
        let slot = if deposits < 4 && rng.chance(10) { slot + 4 } else { slot };
        let deposit = &mut world.obligation.deposits[slot];
        deposit.deposit_reserve = keys::to_v2(&reserve_key(*index));
        deposit.deposited_amount = ctokens;
        deposited += value;
        unhealthy += value * f64::from(threshold) / 100.0;
    }

    // Debts: their sum from the LTV aimed at.
    let limit = unhealthy / deposited;
    let nearly_insolvent = aim.is_deleveraging() && rng.chance(10);
    let ltv = match aim {
        Aim::Ltv => limit * rng.pick(&[1.0001, 1.01, 1.03, 1.07, 1.15]),
        Aim::BadDebt => rng.pick(&[0.985, 0.9905, 0.995, 0.9985, 1.0, 1.003, 1.2]),
        _ if nearly_insolvent => rng.pick(&[0.97, 0.999]),
        _ => limit * rng.pick(&[0.5, 0.9, 0.97, 0.999]),
    };
    if nearly_insolvent {
        world.market.price_triggered_liquidation_disabled = 1;
    }
    let plain = aim == Aim::BadDebt || nearly_insolvent || in_group;
    let mut values: Vec<f64> = borrow_reserves.iter().map(|_| rng.between(0.05, 1.0)).collect();
    let weighted: f64 = borrow_reserves
        .iter()
        .zip(&values)
        .map(|(index, value)| {
            let factor = world.reserves[*index].config.borrow_factor_pct as f64 / 100.0;
            if plain { *value } else { value * factor }
        })
        .sum();
    for (slot, (index, value)) in borrow_reserves.iter().zip(&mut values).enumerate() {
        *value *= ltv * deposited / weighted;
        let raw = *value / world.prices[*index] * unit(&world.reserves[*index]);
        borrow(rng, &mut world, slot, *index, raw);
    }

    let (repay, withdraw) = (rng.pick(&borrow_reserves), rng.pick(&deposit_reserves));
    aim_at(rng, aim, &mut world, &Place { repay, withdraw, ltv, limit });
    let seizable = deposited.min(ltv * deposited * 1.1) / world.prices[withdraw]
        * unit(&world.reserves[withdraw]);
    limit_redemption(rng, &mut world.reserves[withdraw], seizable);

    let position = borrow_reserves.iter().position(|index| *index == repay);
    let value = position.map_or(0.0, |position| values[position]);
    let debt = value / world.prices[repay] * unit(&world.reserves[repay]);
    let amount = match rng.range(0, 19) {
        0 | 1 => 1,
        2 | 3 => rng.range(2, 50),
        4 | 5 => (debt * rng.between(0.0, 0.2)) as u64 + 1,
        6 | 7 => (debt * rng.between(0.2, 1.1)) as u64 + 1,
        8 => 0,
        _ => u64::MAX,
    };
    let min_received = if rng.chance(10) { rng.magnitude(1.0, debt * 2.0 + 2.0) as u64 } else { 0 };
    let loan = rng.chance(25).then(|| {
        let lender = if rng.chance(70) { repay } else { withdraw };
        let available = world.reserves[lender].liquidity.total_available_amount;
        (lender, (debt.min(available as f64) * rng.between(0.01, 1.0)) as u64)
    });
    let mut ask = Ask { repay, withdraw, amount, min_received, loan };
    if rng.chance(15) {
        disturb(rng, &mut world, &mut ask);
    }
    world.publish_scope();
    (aim, world, ask)
}

/// A market and its reserves, and an obligation without positions.
fn empty_world(rng: &mut Rng) -> World {
    let market = random_market(rng);
    let mut scope = Vec::new();
    let (reserves, prices) =
        (0..RESERVES).map(|index| random_reserve(rng, index, &mut scope)).unzip();
    let mut obligation = Box::<Obligation>::new(Zeroable::zeroed());
    obligation.lending_market = keys::to_v2(&market_key());
    obligation.owner = keys::to_v2(&owner_key());
    obligation.last_update.slot = NOW.slot - rng.pick(&[0, 1, 3, 5, 10, 400]);
    obligation.last_update.stale = 1;
    let seconds = rng.pick(&[0, 1, 3, 5, 10, 400, NOW.unix_timestamp]);
    let saved = u32::try_from(NOW.unix_timestamp - seconds).expect("a time within 32 bits");
    fields::set_timestamp(&mut obligation.last_update, saved);
    // Neither of an ownership transfer's states stops a liquidation.
    obligation.ownership_transfer_state = rng.pick(&[0, 0, 0, 0, 1, 2]);
    obligation.has_debt = 1;
    obligation.highest_borrow_factor_pct = 100;
    World { market, reserves, obligation, scope, oracles: Vec::new(), prices }
}

/// Puts the obligation into an elevation group of its reserves.
fn enter_group(rng: &mut Rng, world: &mut World, deposits: &[usize], debt: usize) {
    const GROUP: u8 = 3;
    world.market.elevation_groups[usize::from(GROUP) - 1] = ElevationGroup {
        id: GROUP,
        ltv_pct: 85,
        liquidation_threshold_pct: 92,
        max_liquidation_bonus_bps: rng.pick(&[0, 10, 80, 500]),
        allow_new_loans: 1,
        max_reserves_as_collateral: 8,
        debt_reserve: keys::to_v2(&reserve_key(debt)),
        ..ElevationGroup::zeroed()
    };
    world.obligation.elevation_group = GROUP;
    for index in deposits.iter().chain([&debt]) {
        world.reserves[*index].config.elevation_groups[1] = GROUP;
    }
}

/// Writes a debt, last refreshed at some moment of the reserve's past.
fn borrow(rng: &mut Rng, world: &mut World, slot: usize, index: usize, raw: f64) {
    let reserve = &mut world.reserves[index];
    let rate = bits_of(&reserve.liquidity.cumulative_borrow_rate_bsf);
    let earlier = u128::from(rng.next() >> 12).min(rate - ONE);
    let borrow = &mut world.obligation.borrows[slot];
    borrow.borrow_reserve = keys::to_v2(&reserve_key(index));
    borrow.borrowed_amount_sf = rng.fraction(raw).into();
    borrow.cumulative_borrow_rate_bsf = bsf(if rng.chance(30) { rate } else { rate - earlier });
    borrow.last_borrowed_at_timestamp = NOW.unix_timestamp - 40 * 86_400;
    // The reserve is usually owed more than this obligation owes it.
    let owed = u128::from(borrow.borrowed_amount_sf) * 2;
    if u128::from(reserve.liquidity.borrowed_amount_sf) < owed && rng.chance(80) {
        reserve.liquidity.borrowed_amount_sf = owed.into();
    }
}

/// How much of what is seized the vault can pay, and who comes first.
fn limit_redemption(rng: &mut Rng, reserve: &mut Reserve, seizable: f64) {
    match rng.range(0, 9) {
        0 => set_available(reserve, 0),
        1 => set_available(reserve, (seizable * rng.between(0.001, 0.5)) as u64),
        2 => set_available(reserve, rng.range(1, 3)),
        3..=7 => {
            let enough = (seizable * 2.0) as u64 + 10;
            if reserve.liquidity.total_available_amount < enough {
                set_available(reserve, enough);
            }
        }
        _ => {}
    }
    if rng.chance(20) {
        let supply = reserve.collateral.mint_total_supply;
        reserve.withdraw_queue.queued_collateral_amount = rng.pick(&[1, 1_000_000, supply / 2]);
    }
    if rng.chance(15) {
        let cap = &mut reserve.config.deposit_withdrawal_cap;
        cap.config_interval_length_seconds = 86_400;
        cap.config_capacity = rng.pick(&[1, 1_000_000, i64::MAX / 2]);
        cap.current_total = rng.pick(&[0, 500_000, -5_000_000]);
        let age = rng.pick(&[0, 100, 86_400, 90_000]);
        cap.last_interval_start_timestamp = NOW.unix_timestamp - age;
    }
}

/// Things that make klend refuse, each now and then.
fn disturb(rng: &mut Rng, world: &mut World, ask: &mut Ask) {
    let World { market, reserves, obligation, scope, .. } = world;
    let index = rng.pick(&[ask.repay, ask.withdraw]);
    match rng.range(0, 22) {
        0 => market.emergency_mode = 1,
        1 => reserves[index].version = 2,
        2 => reserves[index].config.token_info.block_price_usage = 1,
        3 => {
            for entry in scope {
                entry.time -= 1000;
            }
        }
        4 => reserves[ask.withdraw].config.liquidation_threshold_pct = 0,
        5 => {
            ask.withdraw = ask.repay;
            ask.loan = None;
        }
        6 => {
            ask.repay = ask.withdraw;
            ask.loan = None;
        }
        7 => {
            // Worth nothing: a price of one in 10^30.
            for entry in scope.iter_mut().filter(|entry| entry.entry == index) {
                (entry.value, entry.exponent) = (1, 30);
            }
        }
        8 => obligation.elevation_group = rng.pick(&[1, 5, 33, 255]),
        9 => reserves[index].config.elevation_groups = [0; 20],
        10 => {
            let rate = &mut reserves[ask.repay].liquidity.cumulative_borrow_rate_bsf;
            *rate = bsf(bits_of(rate) / 2);
        }
        11 => {
            let deposits = &mut obligation.deposits;
            deposits.iter_mut().for_each(|deposit| deposit.deposited_amount = 0);
        }
        12 => {
            let borrows = &mut obligation.borrows;
            borrows.iter_mut().for_each(|borrow| borrow.borrowed_amount_sf = 0.into());
        }
        13 => reserves[index].config.borrow_rate_curve = Zeroable::zeroed(),
        14 => reserves[index].liquidity.mint_decimals = rng.pick(&[0, 1, 18, 19, 20, 30]),
        15 => {
            for entry in scope.iter_mut().filter(|entry| entry.entry == index) {
                (entry.value, entry.exponent) = (u64::MAX, 0);
            }
        }
        17 => reserves[index].config.emergency_mode = 1,
        18 | 19 => permission(rng, world, ask),
        20 => {
            for entry in scope.iter_mut().filter(|entry| entry.entry % 100 == index) {
                if rng.chance(70) {
                    entry.value = 0;
                }
            }
        }
        21 => fields::set_interest_rate_basis(&mut reserves[index].config, rng.pick(&[2, 255])),
        16 => {
            let liquidity = &mut reserves[index].liquidity;
            liquidity.borrowed_amount_sf = (u128::MAX >> rng.range(0, 12)).into();
        }
        _ => {
            let liquidity = &mut reserves[index].liquidity;
            liquidity.accumulated_protocol_fees_sf = (u128::MAX >> rng.range(0, 60)).into();
        }
    }
}

/// Wants a signature that the keeper does not have: for the market or for either
/// reserve, from somebody and from nobody, for liquidations and for other
/// operations.
fn permission(rng: &mut Rng, world: &mut World, ask: &Ask) {
    if rng.chance(80) {
        world.market.permissioning_authority = keys::to_v2(&owner_key());
    }
    let operations = rng.pick(&[4, 4, 7, 3]);
    match rng.range(0, 2) {
        0 => world.market.permissioned_ops = operations,
        1 => world.reserves[ask.repay].config.permissioned_ops = operations,
        _ => world.reserves[ask.withdraw].config.permissioned_ops = operations,
    }
}

/// Changes the vault's content, the debtors owing the difference.
fn set_available(reserve: &mut Reserve, available: u64) {
    let liquidity = &mut reserve.liquidity;
    let difference = i128::from(liquidity.total_available_amount) - i128::from(available);
    let borrowed = u128::from(liquidity.borrowed_amount_sf);
    if let Ok(more) = u128::try_from(difference) {
        liquidity.borrowed_amount_sf = (borrowed + more * ONE).into();
    }
    liquidity.total_available_amount = available;
}

/// Raw units in a whole token.
fn unit(reserve: &Reserve) -> f64 {
    10f64.powi(reserve.liquidity.mint_decimals as i32)
}

fn ctokens_worth(reserve: &Reserve, price: f64, value: f64) -> u64 {
    let raw = value / price * unit(reserve);
    let liquidity = reserve.liquidity.total_available_amount as f64
        + u128::from(reserve.liquidity.borrowed_amount_sf) as f64 / ONE as f64;
    let ctokens = raw * reserve.collateral.mint_total_supply as f64 / liquidity;
    (ctokens as u64).clamp(1, reserve.collateral.mint_total_supply)
}

fn worth_of(reserve: &Reserve, price: f64, ctokens: u64) -> f64 {
    let liquidity = reserve.liquidity.total_available_amount as f64
        + u128::from(reserve.liquidity.borrowed_amount_sf) as f64 / ONE as f64;
    ctokens as f64 * liquidity / reserve.collateral.mint_total_supply as f64 * price / unit(reserve)
}

/// Where a case stands.
struct Place {
    repay: usize,
    withdraw: usize,
    ltv: f64,
    limit: f64,
}

/// Sets the switches that make the aim possible.
fn aim_at(rng: &mut Rng, aim: Aim, world: &mut World, place: &Place) {
    let World { market, reserves, obligation, prices, .. } = world;
    let Place { repay, withdraw, ltv, limit } = *place;
    let days = rng.pick(&[0, 1, 100, 86_400, 200_000, 864_000]);
    match aim {
        Aim::Individual => {
            market.autodeleverage_enabled = 1;
            market.individual_autodeleverage_margin_call_period_secs =
                rng.pick(&[1, 3600, 259_200]);
            obligation.autodeleverage_target_ltv_pct = (ltv * 90.0) as u8;
            obligation.autodeleverage_margin_call_started_timestamp = NOW.unix_timestamp
                - market.individual_autodeleverage_margin_call_period_secs
                - days;
        }
        Aim::WideCollateral | Aim::WideDebt => {
            market.autodeleverage_enabled = 1;
            let index = if aim == Aim::WideDebt { repay } else { withdraw };
            let reserve = &mut reserves[index];
            reserve.config.autodeleverage_enabled = 1;
            let since =
                NOW.unix_timestamp - reserve.config.deleveraging_margin_call_period_secs - days;
            if aim == Aim::WideDebt {
                reserve.config.borrow_limit = 1;
                reserve.liquidity.borrow_limit_crossed_timestamp = since;
            } else {
                reserve.config.deposit_limit = 1;
                reserve.liquidity.deposit_limit_crossed_timestamp = since;
            }
        }
        Aim::Maturity => {
            market.mature_reserve_debt_liquidation_enabled = 1;
            reserves[repay].config.debt_maturity_timestamp = NOW.unix_timestamp - days;
        }
        Aim::Term => {
            market.obligation_borrow_debt_term_liquidation_enabled = 1;
            market.term_based_full_liquidation_duration_secs = rng.pick(&[0, 1000, 400_000]);
            reserves[repay].config.debt_term_seconds = 40 * 86_400 - days;
            if rng.chance(50) {
                let slot = obligation
                    .borrows
                    .iter_mut()
                    .find(|borrow| keys::some(&borrow.borrow_reserve) == Some(&reserve_key(repay)))
                    .expect("the debt is there");
                let now = u128::from(slot.borrowed_amount_sf) / ONE;
                slot.borrowed_amount_at_expiration = (now as f64 * rng.between(0.5, 1.2)) as u64;
            }
        }
        Aim::Order(condition) => {
            market.obligation_order_execution_enabled = 1;
            market.price_triggered_liquidation_disabled = u8::from(rng.chance(5));
            let ratio = prices[repay] / prices[withdraw];
            let threshold = match condition {
                1 => ltv * rng.pick(&[0.5, 0.99, 1.2]),
                2 => ltv * rng.pick(&[1.01, 1.5, 0.9]),
                3 => ratio * rng.pick(&[0.5, 0.99, 1.2]),
                4 => ratio * rng.pick(&[1.01, 1.5, 0.9]),
                _ => (limit - ltv) * rng.pick(&[0.5, 1.5, 3.0]),
            };
            let least = rng.range(0, 300) as u16;
            let order = ObligationOrder {
                condition_threshold_sf: rng.fraction(threshold).into(),
                opportunity_parameter_sf: match rng.range(0, 2) {
                    0 => u128::MAX,
                    1 => ONE * 1_000_000,
                    _ => u128::from(obligation.borrows[0].borrowed_amount_sf) / 3,
                }
                .into(),
                min_execution_bonus_bps: least,
                max_execution_bonus_bps: least
                    + if condition == 5 && rng.chance(90) { 0 } else { rng.range(0, 700) as u16 },
                condition_type: condition,
                opportunity_type: rng.pick(&[0, 0, 1]),
                ..ObligationOrder::zeroed()
            };
            let slot = rng.range(0, 1) as usize;
            obligation.obligation_orders[slot] = order;
            if rng.chance(30) {
                // A second order that may come first.
                let threshold = ltv * rng.pick(&[0.9, 1.1]);
                obligation.obligation_orders[1 - slot] = ObligationOrder {
                    condition_threshold_sf: rng.fraction(threshold).into(),
                    condition_type: rng.pick(&[1, 2]),
                    ..order
                };
            }
        }
        Aim::Ltv | Aim::BadDebt | Aim::Healthy => {}
    }
}

/// One reserve with random oracles around the limits of every check.
pub fn oracles(rng: &mut Rng, kinds: RangeInclusive<u64>) -> World {
    let mut scope = Vec::new();
    let (mut reserve, price) = random_reserve(rng, 0, &mut scope);
    let mut market = random_market(rng);
    let now = NOW.unix_timestamp;
    market.price_refresh_trigger_to_max_age_pct = rng.pick(&[0, 0, 0, 50, 100]);
    reserve.liquidity.market_price_last_updated_ts =
        now - rng.pick(&[0, 89, 90, 91, 179, 180, 181, 10_000]);
    let ages = [0, 1, 60, 179, 180, 181, 239, 240, 241, 5000];
    let info = &mut reserve.config.token_info;
    info.max_twap_divergence_bps = rng.pick(&[0, 1, 100, 300, 10_000]);
    info.block_price_usage = u8::from(rng.chance(10));
    if rng.chance(50) {
        let exponent = rng.pick(&[0, 2, 6, 8]);
        let around = (price * 10f64.powi(exponent)) as u64;
        info.heuristic.exp = if rng.chance(5) { 20 } else { exponent as u64 };
        info.heuristic.lower = rng.pick(&[0, around / 2, around, around + 1]);
        info.heuristic.upper = rng.pick(&[0, around * 2, around, around.saturating_sub(1)]);
    }
    let mut oracles = Vec::new();
    let kinds = rng.range(*kinds.start(), *kinds.end());
    if kinds & 1 == 0 {
        info.scope_configuration.price_feed = Zeroable::zeroed();
    } else {
        let length = rng.range(1, 4) as usize;
        for (chain, base) in [
            (&mut info.scope_configuration.price_chain, 200usize),
            (&mut info.scope_configuration.twap_chain, 300),
        ] {
            *chain = [u16::MAX; 4];
            for (position, entry) in chain.iter_mut().take(length).enumerate() {
                *entry = (base + position) as u16;
                let exponent = rng.pick(&[0, 6, 8, 15, 18, 21]);
                let goal = if position == 0 { price } else { rng.magnitude(0.5, 2.0) };
                let goal = goal * rng.pick(&[1.0, 1.0, 1.01, 0.97]);
                let value = (goal * 10f64.powi(exponent)) as u64;
                let value = if rng.chance(3) { 0 } else { value };
                scope.push(ScopeEntry {
                    entry: base + position,
                    value,
                    exponent: exponent as u64,
                    time: now - rng.pick(&ages),
                });
            }
        }
        if rng.chance(4) {
            info.scope_configuration.price_chain = rng.pick(&[[0; 4], [u16::MAX; 4], [100; 4]]);
        }
        if rng.chance(6) {
            info.scope_configuration.twap_chain = rng.pick(&[[0; 4], [u16::MAX; 4], [512; 4]]);
        }
        if rng.chance(5) {
            info.scope_configuration.price_chain[0] = rng.pick(&[511, 512, 600, u16::MAX]);
        }
        let mut data = scope_data(&scope);
        if rng.chance(3) {
            data[0] ^= 1;
        }
        oracles.push((scope_key(), SCOPE_PROGRAM_ID, data));
    }
    if kinds & 2 != 0 {
        info.pyth_configuration.price = keys::to_v2(&of(0, Of::Pyth));
        let exponent = rng.pick(&[-10, -8, -8, -5, 0, 2]);
        let claimed = if rng.chance(6) { rng.pick(&[-18, -19]) } else { exponent };
        let raw = (price * 10f64.powi(-exponent)) as i64;
        let raw = if rng.chance(8) { rng.pick(&[0, -5]) } else { raw };
        let limit = raw.unsigned_abs() / 50;
        let confidence = rng.pick(&[0, limit, limit + 1, limit.saturating_sub(1)]);
        let ema = (raw as f64 * rng.pick(&[1.0, 1.0, 1.01, 0.97])) as i64;
        let ema = if rng.chance(4) { rng.pick(&[0, -3, 77]) } else { ema };
        let time = (now - rng.pick(&ages)) as i64;
        let verification = u8::from(!rng.chance(5));
        let ema_confidence =
            rng.pick(&[0, 0, 0, ema.unsigned_abs() / 50, ema.unsigned_abs() / 50 + 1]);
        let data = pyth_data(verification, raw, confidence, claimed, time, ema, ema_confidence);
        let owner = if rng.chance(3) { SCOPE_PROGRAM_ID } else { PYTH_RECEIVER_PROGRAM_ID };
        oracles.push((of(0, Of::Pyth), owner, data));
    }
    if kinds & 4 != 0 {
        let switchboard = &mut info.switchboard_configuration;
        switchboard.price_aggregator = keys::to_v2(&of(0, Of::Switchboard));
        if rng.chance(90) {
            switchboard.twap_aggregator = keys::to_v2(&of(0, Of::SwitchboardTwap));
        }
        for (what, factor) in
            [(Of::Switchboard, 1.0), (Of::SwitchboardTwap, rng.pick(&[1.0, 1.01, 0.97]))]
        {
            let value = (price * factor * 1e18) as i128;
            let value = rng.pick(&[value, value, value, value, value, 0, -7]);
            let limit = value / 50;
            let deviation = rng.pick(&[0, 0, 0, limit - 1, limit, limit + 1]);
            let slot =
                NOW.slot - rng.pick(&[0, 1, 2, 3, 4, 449, 450, 451, 452, 453, 600, 603, 9999]);
            let data = switchboard_data(value, deviation, slot);
            let owner =
                if rng.chance(3) { SCOPE_PROGRAM_ID } else { SWITCHBOARD_ON_DEMAND_PROGRAM_ID };
            oracles.push((of(0, what), owner, data));
        }
    }
    let mut obligation = Box::<Obligation>::new(Zeroable::zeroed());
    obligation.deposits[0].deposit_reserve = keys::to_v2(&reserve_key(0));
    World { market, reserves: vec![reserve], obligation, scope, oracles, prices: vec![price] }
}
