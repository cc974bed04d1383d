//! Real mainnet accounts, from a fork folder beside the checkout, and what the
//! real klend answered on them.
//!
//! Without the folder these tests say so and pass: nothing outside the
//! repository is needed.

mod support;

use std::{collections::BTreeMap, fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use klend_model::{
    accounts,
    fraction::Fraction,
    keys,
    liquidation::{FlashLoan, Quote, Reason, Request, quote},
    price::{OracleAccount, Oracles},
    refresh,
    reserve::Status,
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};
use solana_address::{Address, address};
use support::{ONE, bsf, obligation_key};

const MAIN_MARKET: Address = address!("7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF");
const USDC: Address = address!("D6q6wuQSrifJKZYpR1M8R4YawnLDtDsMmWM1NbBmgJ59");
const SOL: Address = address!("d4A2prbA2whesmvHaL88BH6Ewn5N4bTSU2Ze8P6Bc4Q");
const JITOSOL: Address = address!("EVbyPKrHG6WBfm4dLxLMJpUDY43cCAcHSpV3KYjKsktW");
const SCOPE: Address = address!("3NJYftD5sjVfxSnUdZ1wVML8f3aC6mp1CXCL6L7TnU8C");
/// Scope's entry for SOL and its average.
const SOL_ENTRIES: [usize; 2] = [0, 52];

struct Fork {
    clock: Clock,
    accounts: BTreeMap<Address, (Address, Vec<u8>)>,
}

impl Fork {
    fn load(name: &str) -> Option<Self> {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fork").join(name);
        let Ok(manifest) = fs::read_to_string(folder.join("manifest.json")) else {
            println!("skipped: no fork folder at {}", folder.display());
            return None;
        };
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let clock = Clock {
            slot: manifest["slot"].as_u64().unwrap(),
            unix_timestamp: manifest["unix_timestamp"].as_u64().unwrap(),
        };
        let accounts = manifest["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let key = entry["pubkey"].as_str().unwrap();
                let file = folder.join("accounts").join(format!("{key}.json"));
                let json: serde_json::Value =
                    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
                let account = &json["account"];
                let data = STANDARD.decode(account["data"][0].as_str().unwrap()).unwrap();
                let owner = account["owner"].as_str().unwrap();
                (key.parse().unwrap(), (owner.parse().unwrap(), data))
            })
            .collect();
        Some(Self { clock, accounts })
    }

    fn reserve(&self, key: &Address) -> &klend_interface::state::Reserve {
        let (owner, data) = &self.accounts[key];
        accounts::reserve(key, owner, data).unwrap()
    }

    fn market(&self, key: &Address) -> &klend_interface::state::LendingMarket {
        let (owner, data) = &self.accounts[key];
        accounts::lending_market(key, owner, data).unwrap()
    }

    /// Multiplies a price, and stamps it with the fork's own time.
    fn set_price(&mut self, entry: usize, percent: u64) {
        let now = self.clock.unix_timestamp;
        let (_, data) = self.accounts.get_mut(&SCOPE).unwrap();
        let at = 40 + 56 * entry;
        let value = u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
        data[at..at + 8].copy_from_slice(&(value * percent / 100).to_le_bytes());
        data[at + 24..at + 32].copy_from_slice(&now.to_le_bytes());
    }
}

impl Oracles for Fork {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        self.accounts.get(key).map(|(owner, data)| OracleAccount { owner: *owner, data })
    }
}

/// 1000 SOL deposited and 110,000 USDC borrowed in the snapshot's slot, then SOL
/// a fifth cheaper and ten slots of interest: what klend 1.16 paid out, with the
/// flash fee of a later day. (The last digit of the smaller fee tells the slots
/// apart: nine to eleven give it, none and twenty do not.)
#[test]
fn the_liquidations_that_the_real_klend_answered() {
    let Some(mut fork) = Fork::load("main-market-2024-10-29") else { return };
    let clock = fork.clock;
    let (deposit, debt) = (1_000_000_000_000, 110_000_000_000);
    let market = *fork.market(&MAIN_MARKET);

    // The deposit and the loan, made in the snapshot's own slot.
    let sol = refresh::reserve(
        KlendVersion::V1_16,
        &MAIN_MARKET,
        &market,
        &SOL,
        fork.reserve(&SOL),
        clock,
        None,
    )
    .unwrap();
    let ctokens = sol.ctokens_of(deposit).unwrap();
    let mut sol_account = *fork.reserve(&SOL);
    write_back(&mut sol_account, &sol);
    sol_account.liquidity.total_available_amount += deposit;
    sol_account.collateral.mint_total_supply += ctokens;
    let usdc = refresh::reserve(
        KlendVersion::V1_16,
        &MAIN_MARKET,
        &market,
        &USDC,
        fork.reserve(&USDC),
        clock,
        None,
    )
    .unwrap();
    let mut usdc_account = *fork.reserve(&USDC);
    write_back(&mut usdc_account, &usdc);
    usdc_account.liquidity.total_available_amount -= debt;
    usdc_account.liquidity.borrowed_amount_sf =
        usdc.borrowed.try_add(Fraction::from_int(debt)).unwrap().into();
    usdc_account.config.fees.flash_loan_fee_sf = 11_529_215_046_068;
    let mut position = support::obligation(&[], &[]);
    position.lending_market = keys::to_v2(&MAIN_MARKET);
    position.last_update.slot = clock.slot;
    position.deposits[0].deposit_reserve = keys::to_v2(&SOL);
    position.deposits[0].deposited_amount = ctokens;
    position.borrows[0].borrow_reserve = keys::to_v2(&USDC);
    position.borrows[0].borrowed_amount_sf = (u128::from(debt) * ONE).into();
    position.borrows[0].cumulative_borrow_rate_bsf = bsf(usdc.cumulative_borrow_rate.to_bits());

    for entry in SOL_ENTRIES {
        fork.set_price(entry, 80);
    }
    let clock = Clock { slot: clock.slot + 10, ..clock };
    let reserves = [(SOL, &sol_account), (USDC, &usdc_account)];
    let table = ReserveTable::refresh(
        KlendVersion::V1_16,
        &MAIN_MARKET,
        &market,
        &reserves,
        clock,
        Some(&fork),
    );
    let state = table.obligation(&obligation_key(), &position).unwrap();
    assert_eq!(format!("{:.4}", state.health.ltv().unwrap()), "0.7698");
    assert!(state.health.is_unhealthy());

    let usdc = table.reserve(&USDC).unwrap();
    assert_eq!(usdc.flash_fee(20_000_000_000), Ok(200_000));
    let ask = |amount: u64| -> Quote {
        let loan = FlashLoan { reserve: USDC, amount: 20_000_000_000 };
        let request = Request {
            repay_reserve: USDC,
            withdraw_reserve: SOL,
            amount,
            min_received: 0,
            flash_loan: Some(loan),
        };
        quote(&table, &state, &request).unwrap()
    };
    let whole = ask(20_000_000_000);
    assert_eq!(whole.reason, Reason::LtvExceeded);
    assert_eq!(whole.bonus, Fraction::from_bps(500));
    assert_eq!(
        (whole.repay, whole.received, whole.protocol_fee, whole.leftover_ctokens),
        (20_000_000_000, 143_480_100_243, 3_499_514_641, 0)
    );
    let part = ask(5_000_000_000);
    assert_eq!(
        (part.repay, part.received, part.protocol_fee, part.leftover_ctokens),
        (5_000_000_000, 35_870_025_060, 874_878_661, 0)
    );
}

/// Puts a refreshed reserve's moving numbers into a copy of its account.
fn write_back(
    account: &mut klend_interface::state::Reserve,
    state: &klend_model::reserve::ReserveState<'_>,
) {
    account.last_update.slot = state.slot;
    let liquidity = &mut account.liquidity;
    liquidity.borrowed_amount_sf = state.borrowed.into();
    liquidity.cumulative_borrow_rate_bsf = bsf(state.cumulative_borrow_rate.to_bits());
    liquidity.accumulated_protocol_fees_sf = state.protocol_fees.into();
    liquidity.accumulated_referrer_fees_sf = state.referrer_fees.into();
    liquidity.pending_referrer_fees_sf = state.pending_referrer_fees.into();
}

/// The prices written into the reserves are those of the Scope account where
/// both are of the same moment.
#[test]
fn scope_prices_are_those_klend_wrote() {
    let Some(fork) = Fork::load("main-market-2024-10-29") else { return };
    let mut compared = 0;
    for key in [USDC, SOL, JITOSOL] {
        let reserve = fork.reserve(&key);
        let chain = &reserve.config.token_info.scope_configuration.price_chain;
        let reading = klend_model::price::scope_reading(&fork.accounts[&SCOPE].1, chain).unwrap();
        if reading.timestamp == reserve.liquidity.market_price_last_updated_ts {
            let written = Fraction::from(reserve.liquidity.market_price_sf);
            assert_eq!(Some(written), reading.price, "{key}");
            compared += 1;
        }
    }
    assert_eq!(compared, 2, "USDC and SOL are of the Scope account's moment");
}

/// A year later: the figures a keeper asks a reserve for.
#[test]
fn the_usdc_reserve_of_november_2025() {
    let Some(fork) = Fork::load("usdc-reserve-2025-11-03") else { return };
    let reserve =
        klend_model::reserve::ReserveState::stored(KlendVersion::V1_16, &USDC, fork.reserve(&USDC))
            .unwrap();
    assert_eq!(reserve.status(), Status::Active);
    for (amount, fee) in
        [(2, 1), (100_000, 1), (150_000, 1), (1_000_000, 10), (1_000_000_000_000, 10_000_000)]
    {
        assert_eq!(reserve.flash_fee(amount), Ok(fee), "{amount}");
    }
    assert_eq!(reserve.flash_fee(1).unwrap_err().klend_error().unwrap().code(), 6012);
    let supply = reserve.total_supply().unwrap();
    assert!(reserve.redeem(1_000_000).unwrap() > 1_000_000, "a cToken gains");
    let utilization = reserve.utilization().unwrap();
    assert_eq!(utilization, reserve.borrowed.try_div(supply).unwrap());
    // At 77.9 % of 95 % utilisation the curve's first segment gives 3.9 %.
    assert_eq!(format!("{utilization:.3}"), "0.779");
    assert_eq!(format!("{:.4}", reserve.borrow_rate().unwrap()), "0.0389");
    assert!((reserve.borrow_apy(None).unwrap() - 0.0397).abs() < 1e-4);
    assert!((reserve.supply_apy(None).unwrap() - 0.0277).abs() < 1e-4);
}
