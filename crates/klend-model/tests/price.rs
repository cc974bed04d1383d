//! Oracle bytes and what klend makes of them. The bit patterns are what klend
//! 1.16 wrote into a reserve for the same bytes.

mod support;

use klend_interface::state::Reserve;
use klend_model::{
    constants::{PYTH_RECEIVER_PROGRAM_ID, SCOPE_PROGRAM_ID, SWITCHBOARD_ON_DEMAND_PROGRAM_ID},
    errors::Code,
    fraction::Fraction,
    keys,
    price::{OracleAccount, Zeros, pyth_feed, scope_reading, switchboard_reading},
    refresh,
    refusal::Refusal,
    reserve::ReserveState,
    version::KlendVersion,
};
use solana_address::Address;
use support::{KLEND, NOW, ONE, key, market, market_key, reserve, reserve_key};

const END: u16 = u16::MAX;

/// A Scope account with `(value, exponent, age)` from its first entry on.
fn scope(entries: &[(u64, u64, u64)]) -> Vec<u8> {
    let mut data = vec![0; 8 + 32 + 512 * 56];
    data[..8].copy_from_slice(&[89, 128, 118, 221, 6, 72, 180, 146]);
    for (index, (value, exponent, age)) in entries.iter().enumerate() {
        let at = 40 + 56 * index;
        data[at..at + 8].copy_from_slice(&value.to_le_bytes());
        data[at + 8..at + 16].copy_from_slice(&exponent.to_le_bytes());
        data[at + 24..at + 32].copy_from_slice(&(NOW.unix_timestamp - age).to_le_bytes());
    }
    data
}

/// A fully verified Pyth update.
fn pyth(price: i64, confidence: u64, exponent: i32, age: u64, ema: i64) -> Vec<u8> {
    let mut data = vec![34, 241, 35, 99, 157, 126, 244, 205];
    data.extend_from_slice(&[0; 32]);
    data.push(1);
    data.extend_from_slice(&[0; 32]);
    data.extend_from_slice(&price.to_le_bytes());
    data.extend_from_slice(&confidence.to_le_bytes());
    data.extend_from_slice(&exponent.to_le_bytes());
    let time = (NOW.unix_timestamp - age) as i64;
    data.extend_from_slice(&time.to_le_bytes());
    data.extend_from_slice(&time.to_le_bytes());
    data.extend_from_slice(&ema.to_le_bytes());
    data.resize(134, 0);
    data
}

/// A Switchboard pull feed whose result is some slots old.
fn switchboard(value: i128, deviation: i128, slots: u64) -> Vec<u8> {
    let mut data = vec![0; 3208];
    data[..8].copy_from_slice(&[196, 27, 108, 196, 10, 215, 219, 40]);
    data[2264..2280].copy_from_slice(&value.to_le_bytes());
    data[2280..2296].copy_from_slice(&deviation.to_le_bytes());
    data[2368..2376].copy_from_slice(&(NOW.slot - slots).to_le_bytes());
    data
}

#[test]
fn scope_chains_are_multiplied_as_klend_multiplies_them() {
    let bits = |entries: &[(u64, u64, u64)]| {
        let chain = core::array::from_fn(|i| if i < entries.len() { i as u16 } else { END });
        scope_reading(&scope(entries), &chain).map(|reading| {
            (reading.price.unwrap().to_bits(), NOW.unix_timestamp - reading.timestamp)
        })
    };
    // USDC of October 2024, one entry.
    assert_eq!(bits(&[(99_991_582, 8, 7)]), Some((1_152_824_451_674_589_171, 7)));
    // Exact while the decimals stay within 36, then cut: the last bit tells.
    let chain = [
        (5_950_600_000_000, 15, 240),
        (728_941, 6, 179),
        (186_883_452, 8, 5000),
        (1_043_641_490_158_048, 15, 241),
    ];
    assert_eq!(bits(&chain), Some((9_753_827_255_003_932, 5000)));
    assert_eq!(bits(&chain[..1]), Some((5_950_600_000_000 * ONE / 10u128.pow(15), 240)));
    assert_eq!(bits(&[(0, 8, 1)]), Some((0, 1)), "a price of zero is read, not invented");
    assert_eq!(bits(&[]), None);
    assert_eq!(scope_reading(&scope(&[]), &[512, END, END, END]), None);
    assert_eq!(scope_reading(&scope(&[])[..28_711], &[0, END, END, END]), None);
    let mut foreign = scope(&[(1, 0, 0)]);
    foreign[0] ^= 1;
    assert_eq!(scope_reading(&foreign, &[0, END, END, END]), None);
}

#[test]
fn pyth_prices_with_their_confidence_and_average() {
    let price = |data: &[u8]| {
        pyth_feed(Zeros::PassedOver, data)
            .map(|feed| feed.and_then(|feed| feed.price.price).map(Fraction::to_bits))
    };
    let good = pyth(3_352_667_136, 67_053_342, -8, 241, 3_252_087_121);
    assert_eq!(price(&good), Ok(Some(38_653_620_388_830_484_570)));
    let feed = pyth_feed(Zeros::PassedOver, &good).unwrap().unwrap();
    assert_eq!(feed.price.timestamp, NOW.unix_timestamp - 241);
    assert_eq!(
        feed.twap.unwrap().price,
        Some(Fraction::from_bits(3_252_087_121 * ONE / 10u128.pow(8)))
    );
    // Two per cent and no more.
    assert_eq!(price(&pyth(3_352_667_136, 67_053_343, -8, 0, 1)), Ok(None));
    // Zero is read, its confidence not looked at; before 1.25 it is no number.
    for (spot, ema) in [(0, 1), (5, 0), (0, 0)] {
        let data = pyth(spot, if spot == 0 { 9 } else { 0 }, -8, 0, ema);
        let feed = pyth_feed(Zeros::PassedOver, &data).unwrap().unwrap();
        assert_eq!((feed.price.is_zero, feed.twap.unwrap().is_zero), (spot == 0, ema == 0));
        assert_eq!(pyth_feed(Zeros::Refused, &data), Ok(None));
    }
    // Negative aborts, unless an older klend stops at the zero before it.
    assert!(price(&pyth(0, 0, -8, 0, -1)).is_err());
    assert_eq!(pyth_feed(Zeros::Refused, &pyth(0, 0, -8, 0, -1)), Ok(None));
    assert!(price(&pyth(5, u64::MAX / 50 + 1, -8, 0, 1)).is_err(), "klend aborts");
    assert_eq!(price(&pyth(5, u64::MAX / 50, -8, 0, 1)), Ok(None));
    assert!(price(&pyth(i64::MAX, 0, -36, 0, 1)).is_ok());
    assert!(price(&pyth(i64::MAX, 0, -37, 0, 1)).is_err(), "klend aborts");
    assert!(price(&pyth(-5, 0, -8, 0, 1)).is_err(), "klend aborts");
    assert!(price(&pyth(5, 0, -8, 0, -1)).is_err(), "klend aborts");
    // The sign of the exponent is not looked at.
    assert_eq!(price(&pyth(8, 0, 2, 0, 7)), Ok(Some(92_233_720_368_547_758)));
    let mut partial = good.clone();
    partial[40] = 0;
    assert_eq!(price(&partial), Ok(None));
    for length in 0..125 {
        assert_eq!(price(&good[..length]), Ok(None), "{length} bytes");
    }
}

#[test]
fn switchboard_prices_with_their_deviation_and_slot() {
    let reading = |data: &[u8], owner| {
        switchboard_reading(Zeros::Refused, &OracleAccount { owner, data }, NOW)
            .map(|reading| (reading.price, NOW.unix_timestamp - reading.timestamp))
    };
    let ours = SWITCHBOARD_ON_DEMAND_PROGRAM_ID;
    let value = 127_995_693_517_500_006_400;
    let price = Fraction::from_bits(value as u128 * ONE / 10u128.pow(18));
    // 450 slots of 400 ms; 451 are still 180 whole seconds.
    assert_eq!(reading(&switchboard(value, 0, 450), ours), Some((Some(price), 180)));
    assert_eq!(reading(&switchboard(value, 0, 452), ours), Some((Some(price), 180)));
    assert_eq!(reading(&switchboard(value, 0, 453), ours), Some((Some(price), 181)));
    // A fiftieth is too much; the feed is read, its price not trusted.
    assert_eq!(reading(&switchboard(value, value / 50, 0), ours), Some((None, 0)));
    assert_eq!(reading(&switchboard(value, value / 50 - 1, 0), ours), Some((Some(price), 0)));
    assert_eq!(reading(&switchboard(0, 0, 0), ours), None);
    assert_eq!(reading(&switchboard(-7, 0, 0), ours), None);
    assert_eq!(reading(&switchboard(value, 0, 0), SCOPE_PROGRAM_ID), None, "foreign owner");
}

/// A reserve with all three oracles.
struct Case {
    account: Box<Reserve>,
    oracles: Vec<(Address, OracleAccount<'static>)>,
}

impl Case {
    fn new(scope_entries: &[(u64, u64, u64)]) -> Self {
        let mut account = reserve(0, 1);
        account.liquidity.market_price_last_updated_ts = NOW.unix_timestamp - 100;
        let info = &mut account.config.token_info;
        info.max_age_twap_seconds = 240;
        info.scope_configuration.price_feed = keys::to_v2(&key(20, 0));
        info.scope_configuration.price_chain = [0, END, END, END];
        info.scope_configuration.twap_chain = [1, END, END, END];
        let mut case = Self { account, oracles: Vec::new() };
        case.give(key(20, 0), SCOPE_PROGRAM_ID, scope(scope_entries));
        case
    }

    fn give(&mut self, key: Address, owner: Address, data: Vec<u8>) {
        self.oracles.push((key, OracleAccount { owner, data: data.leak() }));
    }

    fn refresh(&self) -> Result<ReserveState<'_>, Refusal> {
        self.refresh_as(KLEND)
    }

    fn refresh_as(&self, version: KlendVersion) -> Result<ReserveState<'_>, Refusal> {
        struct Given<'a>(&'a [(Address, OracleAccount<'static>)]);
        impl klend_model::price::Oracles for Given<'_> {
            fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
                self.0.account(key)
            }
        }
        let oracles = Given(&self.oracles);
        let (market, key) = (market(), reserve_key(0));
        refresh::reserve(version, &market_key(), &market, &key, &self.account, NOW, Some(&oracles))
    }

    fn status(&self) -> u8 {
        self.refresh().unwrap().price_status
    }

    fn code(&self) -> Code {
        self.refresh().unwrap_err().klend_error().unwrap().lending_error().unwrap()
    }
}

#[test]
fn each_check_has_its_bit() {
    let entries = [(100_000_000, 8, 180), (103_000_000, 8, 240)];
    let mut case = Case::new(&entries);
    assert_eq!(case.status(), 0b11_1111, "everything at its limit, no average demanded");
    case.account.config.token_info.max_twap_divergence_bps = 300;
    assert_eq!(case.status(), 0b11_1111);
    case.account.config.token_info.max_twap_divergence_bps = 299;
    assert_eq!(case.status(), 0b11_1011, "three per cent apart is too far");
    case.account.config.token_info.max_twap_divergence_bps = 10_000;
    case.account.config.token_info.block_price_usage = 1;
    assert_eq!(case.status(), 0b01_1111);
    case.account.config.token_info.heuristic.exp = 2;
    case.account.config.token_info.heuristic.lower = 100;
    assert_eq!(case.status(), 0b01_1111);
    case.account.config.token_info.heuristic.lower = 101;
    assert_eq!(case.status(), 0b00_1111);
    case.account.config.token_info.heuristic.lower = 0;
    case.account.config.token_info.heuristic.upper = 99;
    assert_eq!(case.status(), 0b00_1111);

    let old = Case::new(&[(100_000_000, 8, 181), (100_000_000, 8, 0)]);
    assert_eq!(old.status(), 0b11_1101);
    let mut old = Case::new(&[(100_000_000, 8, 0), (100_000_000, 8, 241)]);
    old.account.config.token_info.max_twap_divergence_bps = 10_000;
    assert_eq!(old.status(), 0b11_0111);
}

#[test]
fn the_newest_oracle_counts_and_an_untrusted_one_keeps_the_saved_price() {
    let mut case = Case::new(&[(200_000_000, 8, 50), (0, 0, 0)]);
    let info = &mut case.account.config.token_info;
    info.pyth_configuration.price = keys::to_v2(&key(21, 0));
    info.switchboard_configuration.price_aggregator = keys::to_v2(&key(22, 0));
    assert_eq!(case.code(), Code::InvalidPythPriceAccount);
    case.give(key(21, 0), PYTH_RECEIVER_PROGRAM_ID, pyth(3, 0, 0, 60, 3));
    assert_eq!(case.code(), Code::InvalidSwitchboardAccount);
    let value = 4 * 10i128.pow(18);
    case.give(key(22, 0), SWITCHBOARD_ON_DEMAND_PROGRAM_ID, switchboard(value, 0, 250));
    let state = case.refresh().unwrap();
    assert_eq!(state.market_price, Fraction::from_int(2), "Scope is ten seconds newer than Pyth");
    assert_eq!(state.price_timestamp, NOW.unix_timestamp - 50);

    // Now the newest is Switchboard, and not trusted: the saved price stays as
    // long as it is young.
    case.oracles.pop();
    case.give(key(22, 0), SWITCHBOARD_ON_DEMAND_PROGRAM_ID, switchboard(value, value, 0));
    let state = case.refresh().unwrap();
    assert_eq!(state.market_price, Fraction::from_int(1));
    assert_eq!((state.price_timestamp, state.price_status), (NOW.unix_timestamp - 100, 0b11_1111));
    case.account.liquidity.market_price_last_updated_ts = NOW.unix_timestamp - 180;
    assert_eq!(case.status(), 0);
}

#[test]
fn oracles_that_are_missing_unreadable_or_misconfigured() {
    let entries = [(100_000_000, 8, 0), (100_000_000, 8, 0)];
    let mut case = Case::new(&entries);
    case.oracles.clear();
    assert_eq!(case.code(), Code::InvalidScopePriceAccount);
    case.give(key(20, 0), SCOPE_PROGRAM_ID, vec![0; 100]);
    assert_eq!(case.code(), Code::PriceNotValid);

    let mut case = Case::new(&entries);
    case.account.config.token_info.max_twap_divergence_bps = 1;
    case.account.config.token_info.scope_configuration.twap_chain = [END; 4];
    assert_eq!(case.code(), Code::InvalidTwapConfig);
    for chain in [[END; 4], [0; 4]] {
        case.account.config.token_info.scope_configuration.price_chain = chain;
        assert_eq!(case.code(), Code::InvalidOracleConfig);
    }
    case.account.config.token_info.scope_configuration.price_feed =
        keys::to_v2(&Address::default());
    assert_eq!(case.code(), Code::InvalidOracleConfig, "no oracle at all");
}

#[test]
fn a_young_price_is_not_asked_for_again() {
    let mut case = Case::new(&[(200_000_000, 8, 0), (0, 0, 0)]);
    let mut market = market();
    // Half of 180 seconds.
    market.price_refresh_trigger_to_max_age_pct = 50;
    let price = |case: &Case| {
        let oracles = case.oracles.as_slice();
        let now = NOW;
        let info = &case.account.config.token_info;
        let saved = case.account.liquidity.market_price_last_updated_ts;
        let due = klend_model::price::is_due(info, saved, 50, now.unix_timestamp);
        let read = klend_model::price::read(KLEND, &reserve_key(0), info, oracles, now);
        assert_eq!(read.unwrap().unwrap().price.price, Some(Fraction::from_int(2)));
        due
    };
    case.account.liquidity.market_price_last_updated_ts = NOW.unix_timestamp - 89;
    assert!(!price(&case));
    case.account.liquidity.market_price_last_updated_ts = NOW.unix_timestamp - 90;
    assert!(price(&case));
}

/// klend's rules for these, before and since 1.25, are in docs/klend-notes.md.
#[test]
fn a_price_of_zero_is_refused_or_passed_over() {
    const PYTH: u8 = 21;
    let case = |spot: i64, exponent: i32, ema: i64, wants_twap: bool, saved_age: u64| {
        let mut case = Case::new(&[]);
        case.oracles.clear();
        case.account.liquidity.market_price_last_updated_ts = NOW.unix_timestamp - saved_age;
        case.account.last_update.price_status = 0b10_0011;
        let info = &mut case.account.config.token_info;
        info.scope_configuration.price_feed = keys::to_v2(&Address::default());
        info.pyth_configuration.price = keys::to_v2(&key(PYTH, 0));
        info.max_twap_divergence_bps = if wants_twap { 10_000 } else { 0 };
        case.give(key(PYTH, 0), PYTH_RECEIVER_PROGRAM_ID, pyth(spot, 0, exponent, 0, ema));
        case
    };
    let answer = |case: &Case, version| match case.refresh_as(version) {
        Ok(state) => {
            let age = NOW.unix_timestamp - state.price_timestamp;
            Ok((state.market_price.to_bits(), age, state.price_status))
        }
        Err(refusal) => Err(refusal.klend_error().unwrap().code()),
    };
    let (old, new) = (KlendVersion::V1_24, KlendVersion::V1_25);
    // Zero: unreadable before; since 1.25 the saved price stays, and its status
    // until it is as old as it may be.
    for (age, status) in [(50, 0b10_0011), (179, 0b10_0011), (180, 0), (181, 0)] {
        let zero = case(0, -8, 5, false, age);
        assert_eq!(answer(&zero, old), Err(6044));
        assert_eq!(answer(&zero, new), Ok((ONE, age, status)));
    }
    // A zero average counts only where an average is wanted.
    assert_eq!(answer(&case(7, 0, 0, false, 50), old), Err(6044));
    assert_eq!(answer(&case(7, 0, 0, false, 50), new), Ok((7 * ONE, 0, 0b11_1111)));
    assert_eq!(answer(&case(7, 0, 0, true, 50), new), Ok((ONE, 50, 0b10_0011)));
    // What becomes zero only by its decimals: a price before, none since.
    let scaled = case(1, -30, 1, false, 50);
    assert_eq!(answer(&scaled, old), Ok((0, 0, 0b11_1111)));
    assert_eq!(answer(&scaled, new), Ok((ONE, 50, 0b10_0011)));
    // The same with an average beside a real price.
    let mut twap = Case::new(&[(100_000_000, 8, 0), (1, 30, 0)]);
    twap.account.config.token_info.max_twap_divergence_bps = 10_001;
    assert_eq!(twap.refresh_as(old).unwrap().price_status, 0b11_1111);
    assert_eq!(twap.refresh_as(new).unwrap().price_status, 0b11_1011);

    // Scope: accepted before; since 1.25 any link of its chain makes it zero.
    let mut scope = Case::new(&[(0, 8, 3), (5, 0, 0)]);
    assert_eq!(answer(&scope, old), Ok((0, 3, 0b11_1111)));
    assert_eq!(answer(&scope, new), Ok((ONE, 100, 0b11_1111)));
    scope.account.config.token_info.scope_configuration.price_chain = [1, 0, END, END];
    assert_eq!(answer(&scope, new), Ok((ONE, 100, 0b11_1111)));
    // The next oracle takes its place, although it is older.
    scope.account.config.token_info.switchboard_configuration.price_aggregator =
        keys::to_v2(&key(22, 0));
    let four = switchboard(4 * 10i128.pow(18), 0, 250);
    scope.give(key(22, 0), SWITCHBOARD_ON_DEMAND_PROGRAM_ID, four);
    assert_eq!(answer(&scope, old), Ok((0, 3, 0b11_1111)));
    assert_eq!(answer(&scope, new), Ok((4 * ONE, 100, 0b11_1111)));
    // Switchboard: zero with any deviation is read since 1.25, negative never.
    for (value, deviation, expected) in
        [(0, 5, Ok((ONE, 100, 0b11_1111))), (-1, 0, Err(6044)), (5, -1, Err(6044))]
    {
        let mut case = Case::new(&[]);
        case.oracles.clear();
        let info = &mut case.account.config.token_info;
        info.scope_configuration.price_feed = keys::to_v2(&Address::default());
        info.switchboard_configuration.price_aggregator = keys::to_v2(&key(22, 0));
        let data = switchboard(value, deviation, 0);
        case.give(key(22, 0), SWITCHBOARD_ON_DEMAND_PROGRAM_ID, data);
        assert_eq!(answer(&case, new), expected, "{value}");
        assert_eq!(answer(&case, old), Err(6044), "{value}");
    }
}

#[test]
fn an_emergency_asks_no_oracle_and_forgets_the_price() {
    let mut case = Case::new(&[(200_000_000, 8, 0), (0, 0, 0)]);
    case.oracles.clear();
    case.account.config.emergency_mode = 1;
    let state = case.refresh().unwrap();
    assert!(state.emergency);
    assert_eq!((state.price_timestamp, state.price_status), (0, 0));
    assert_eq!(state.market_price, Fraction::from_int(1), "the number itself stays");
    let before = case.refresh_as(KlendVersion::V1_16).unwrap_err();
    assert_eq!(before.klend_error().unwrap().code(), 6056, "the byte had no meaning");
}
