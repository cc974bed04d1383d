//! The built-in fork: klend's main market in round figures.
//!
//! Addresses are mainnet's. So are most parameters: the reserves' as of late
//! 2024 (SOL, JitoSOL) and late 2025 (USDC), the market's as of 2026. Liquidity,
//! prices and PYUSD's parameters are round numbers of a realistic size.

use bytemuck::Zeroable;
use klend_interface::state::{
    BigFractionBytes, BorrowRateCurve, CurvePoint, ElevationGroup, LastUpdate, LendingMarket,
    PriceHeuristic, Reserve, ReserveCollateral, ReserveConfig, ReserveFees, ReserveLiquidity,
    ScopeConfiguration, TokenInfo, WithdrawalCaps,
};
use klend_model::{
    accounts::account_data,
    constants::{KLEND_PROGRAM_ID, PROGRAM_VERSION},
    fields,
    keys::to_v2,
};
use solana_account::Account;
use solana_address::{Address, address};

use crate::{
    error::ForkError,
    farm,
    names::named_address,
    rebuild,
    scope::{self, Price, Table},
    snapshot::Snapshot,
    tokens::{self, MintFigures, NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};

/// 2026-08-01 00:00:00 UTC.
const UNIX_TIMESTAMP: i64 = 1_785_542_400;
const SLOT: u64 = 436_000_000;

const MAIN_MARKET: Address = address!("7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF");
const JLP_MARKET: Address = address!("DxXdAyU3kCjnyggvHmY5nAwg5cRbbmdyX3npfDMjjMek");

const USDC_RESERVE: Address = address!("D6q6wuQSrifJKZYpR1M8R4YawnLDtDsMmWM1NbBmgJ59");
const SOL_RESERVE: Address = address!("d4A2prbA2whesmvHaL88BH6Ewn5N4bTSU2Ze8P6Bc4Q");
const JITOSOL_RESERVE: Address = address!("EVbyPKrHG6WBfm4dLxLMJpUDY43cCAcHSpV3KYjKsktW");
const PYUSD_RESERVE: Address = address!("2gc9Dm1eB6UgVYFBUN9bWks6Kes9PbWSaPaa9DqyvEiN");
const JLP_MARKET_USDC_RESERVE: Address = address!("Ga4rZytCpq1unD4DbEJ5bkHeUz9g3oh9AAFEi6vSauXp");

const USDC: Address = address!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
const JITOSOL: Address = address!("J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn");
const PYUSD: Address = address!("2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo");

const SCOPE_PRICES: Address = address!("3t4JZcueEzTbVP6kLxXrL3VpWx45jDer4eqysweBchNH");
const SOL_COLLATERAL_FARM: Address = address!("955xWFhSDcDiUgUr4sBRtCpTLiMd4H5uZLAmgtP3R3sX");

/// Made up, so that debts are staked somewhere.
const PYUSD_DEBT_FARM: Address = address!("PyusdDebtFarm111111111111111111111111111111");

/// Group of JitoSOL against SOL.
const GROUP_STAKED_SOL: u8 = 2;
/// Group of SOL and JitoSOL against PYUSD.
const GROUP_PYUSD: u8 = 4;

/// 0.001 % as U68F60.
const FLASH_LOAN_FEE_SF: u64 = 11_529_215_046_068;
/// One as U68F60.
const ONE: u64 = 1 << 60;
/// Fills the unused tail of a price chain.
const END: u16 = u16::MAX;

const DAY: u64 = 86_400;

/// One reserve, in the units people think in.
struct Figures {
    key: Address,
    market: Address,
    symbol: &'static str,
    mint: Address,
    token_program: Address,
    decimals: u8,
    /// Whether the vaults' addresses come from market and mint, as before klend
    /// 1.12.6, or from the reserve.
    old_vaults: bool,
    collateral_farm: Option<Address>,
    debt_farm: Option<Address>,
    /// Whole tokens.
    available: u64,
    /// Whole tokens.
    borrowed: u64,
    /// What one cToken is worth, in millionths of a token.
    ctoken_rate_millionths: u64,
    loan_to_value_pct: u8,
    liquidation_threshold_pct: u8,
    liquidation_bonus_bps: (u16, u16),
    borrow_factor_pct: u64,
    take_rate_pct: u8,
    host_fixed_rate_bps: u16,
    /// Utilisation and rate in bps.
    curve: &'static [(u32, u32)],
    /// Whole tokens.
    deposit_limit: u64,
    /// Whole tokens.
    borrow_limit: u64,
    /// Whole tokens a day: deposits withdrawn, debt taken.
    daily_caps: (u64, u64),
    /// Bounds of the price in per cent of a dollar; zeros for none.
    heuristic: (u64, u64),
    max_twap_divergence_bps: u64,
    price_chain: [u16; 4],
    twap_chain: [u16; 4],
    elevation_groups: &'static [u8],
    /// Groups in which this reserve is collateral.
    collateral_in_groups: &'static [u8],
    /// Whether interest counts seconds, as reserves made by klend 1.25 do, rather
    /// than slots.
    counts_seconds: bool,
}

const USDC_FIGURES: Figures = Figures {
    key: USDC_RESERVE,
    market: MAIN_MARKET,
    symbol: "USDC",
    mint: USDC,
    token_program: TOKEN_PROGRAM_ID,
    decimals: 6,
    old_vaults: true,
    collateral_farm: None,
    debt_farm: None,
    available: 40_000_000,
    borrowed: 120_000_000,
    ctoken_rate_millionths: 1_130_000,
    loan_to_value_pct: 80,
    liquidation_threshold_pct: 90,
    liquidation_bonus_bps: (100, 1_000),
    borrow_factor_pct: 100,
    take_rate_pct: 10,
    host_fixed_rate_bps: 100,
    curve: &[(0, 1), (8_000, 300), (8_500, 670), (9_000, 1_500), (9_500, 3_354), (10_000, 7_500)],
    deposit_limit: 400_000_000,
    borrow_limit: 350_000_000,
    daily_caps: (50_000_000, 30_000_000),
    heuristic: (90, 105),
    max_twap_divergence_bps: 300,
    price_chain: [20, END, END, END],
    twap_chain: [62, END, END, END],
    elevation_groups: &[],
    collateral_in_groups: &[],
    counts_seconds: false,
};

const SOL_FIGURES: Figures = Figures {
    key: SOL_RESERVE,
    symbol: "SOL",
    mint: NATIVE_MINT,
    decimals: 9,
    collateral_farm: Some(SOL_COLLATERAL_FARM),
    available: 460_000,
    borrowed: 3_050_000,
    ctoken_rate_millionths: 1_043_000,
    loan_to_value_pct: 65,
    liquidation_threshold_pct: 75,
    liquidation_bonus_bps: (500, 1_000),
    borrow_factor_pct: 125,
    take_rate_pct: 15,
    host_fixed_rate_bps: 0,
    curve: &[
        (0, 1),
        (7_000, 400),
        (9_100, 600),
        (9_300, 1_000),
        (9_500, 2_000),
        (9_700, 4_000),
        (10_000, 8_000),
    ],
    deposit_limit: 6_000_000,
    borrow_limit: 5_400_000,
    daily_caps: (800_000, 400_000),
    heuristic: (0, 0),
    max_twap_divergence_bps: 1_000,
    price_chain: [0, END, END, END],
    twap_chain: [52, END, END, END],
    elevation_groups: &[GROUP_STAKED_SOL, GROUP_PYUSD],
    collateral_in_groups: &[GROUP_PYUSD],
    ..USDC_FIGURES
};

const JITOSOL_FIGURES: Figures = Figures {
    key: JITOSOL_RESERVE,
    symbol: "JITOSOL",
    mint: JITOSOL,
    decimals: 9,
    available: 1_250_000,
    borrowed: 82_000,
    ctoken_rate_millionths: 1_001_000,
    loan_to_value_pct: 45,
    liquidation_threshold_pct: 55,
    liquidation_bonus_bps: (500, 1_500),
    borrow_factor_pct: 125,
    take_rate_pct: 20,
    curve: &[
        (0, 1),
        (5_500, 300),
        (6_000, 424),
        (6_500, 600),
        (7_000, 848),
        (7_500, 1_200),
        (8_000, 1_697),
        (8_500, 2_400),
        (9_000, 3_394),
        (9_500, 4_800),
        (10_000, 6_788),
    ],
    deposit_limit: 2_000_000,
    borrow_limit: 250_000,
    daily_caps: (250_000, 50_000),
    heuristic: (0, 0),
    max_twap_divergence_bps: 1_000,
    price_chain: [51, 0, END, END],
    twap_chain: [51, 52, END, END],
    elevation_groups: &[GROUP_STAKED_SOL, GROUP_PYUSD],
    collateral_in_groups: &[GROUP_STAKED_SOL, GROUP_PYUSD],
    counts_seconds: true,
    ..USDC_FIGURES
};

const PYUSD_FIGURES: Figures = Figures {
    key: PYUSD_RESERVE,
    symbol: "PYUSD",
    mint: PYUSD,
    token_program: TOKEN_2022_PROGRAM_ID,
    debt_farm: Some(PYUSD_DEBT_FARM),
    available: 30_000_000,
    borrowed: 60_000_000,
    ctoken_rate_millionths: 1_060_000,
    loan_to_value_pct: 75,
    liquidation_threshold_pct: 85,
    liquidation_bonus_bps: (200, 1_000),
    curve: &[(0, 1), (8_000, 500), (9_000, 1_500), (10_000, 6_000)],
    deposit_limit: 200_000_000,
    borrow_limit: 180_000_000,
    daily_caps: (25_000_000, 15_000_000),
    price_chain: [118, END, END, END],
    twap_chain: [119, END, END, END],
    elevation_groups: &[GROUP_PYUSD],
    ..USDC_FIGURES
};

const JLP_MARKET_USDC_FIGURES: Figures = Figures {
    key: JLP_MARKET_USDC_RESERVE,
    market: JLP_MARKET,
    old_vaults: false,
    available: 12_000_000,
    borrowed: 55_000_000,
    ctoken_rate_millionths: 1_090_000,
    loan_to_value_pct: 0,
    liquidation_threshold_pct: 0,
    deposit_limit: 100_000_000,
    borrow_limit: 90_000_000,
    ..USDC_FIGURES
};

/// Entries of the price table.
const PRICES: [(usize, Price); 7] = [
    (0, Price::new(18_000_000_000, 8)),          // SOL/USD
    (52, Price::new(17_980_000_000, 8)),         // its average
    (51, Price::new(1_250_000_000_000_000, 15)), // JitoSOL/SOL
    (20, Price::new(99_990_000, 8)),             // USDC/USD
    (62, Price::new(99_995_000, 8)),             // its average
    (118, Price::new(99_980_000, 8)),            // PYUSD/USD
    (119, Price::new(99_985_000, 8)),            // its average
];

impl Snapshot {
    /// The accounts of [`World::builtin`](crate::World::builtin), without a machine.
    ///
    /// # Errors
    /// [`ForkError`] when an account cannot be made.
    pub fn builtin() -> Result<Self, ForkError> {
        let mut snapshot = Self { slot: SLOT, unix_timestamp: UNIX_TIMESTAMP, ..Self::default() };
        let mut add = |key, account| {
            snapshot.accounts.insert(key, account);
        };
        for (key, market) in
            [(MAIN_MARKET, main_market()), (JLP_MARKET, market(&JLP_MARKET, "JLP"))]
        {
            add(key, tokens::account(KLEND_PROGRAM_ID, account_data(&market)));
        }
        for (key, account) in mints()? {
            add(key, account);
        }
        add(SCOPE_PRICES, prices());

        let all =
            [USDC_FIGURES, SOL_FIGURES, JITOSOL_FIGURES, PYUSD_FIGURES, JLP_MARKET_USDC_FIGURES];
        for figures in all {
            let reserve = figures.reserve();
            let (authority, _) = market_authority(&figures.market);
            for (farm, staked) in [
                (figures.collateral_farm, reserve.collateral.mint_total_supply),
                (figures.debt_farm, figures.units(figures.borrowed)),
            ] {
                if let Some(farm) = farm {
                    snapshot.accounts.insert(farm, farm::delegated(&authority, staked, 1));
                }
            }
            let data = account_data(&reserve);
            snapshot.accounts.insert(figures.key, tokens::account(KLEND_PROGRAM_ID, data));
            // Vaults and cToken mints follow from the reserve.
            rebuild::complete(&mut snapshot, &figures.key, &reserve)?;
        }
        Ok(snapshot)
    }
}

impl Figures {
    fn units(&self, whole_tokens: u64) -> u64 {
        whole_tokens * 10u64.pow(self.decimals.into())
    }

    fn vault(&self, prefix: &str) -> Address {
        let by_reserve = [prefix.as_bytes(), self.key.as_ref()];
        let by_mint = [prefix.as_bytes(), self.market.as_ref(), self.mint.as_ref()];
        let seeds: &[&[u8]] = if self.old_vaults { &by_mint } else { &by_reserve };
        Address::find_program_address(seeds, &KLEND_PROGRAM_ID).0
    }

    fn reserve(&self) -> Reserve {
        let (available, borrowed) = (self.units(self.available), self.units(self.borrowed));
        let total = u128::from(available) + u128::from(borrowed);
        let ctokens = total * 1_000_000 / u128::from(self.ctoken_rate_millionths);
        Reserve {
            version: PROGRAM_VERSION,
            last_update: last_update(),
            lending_market: to_v2(&self.market),
            farm_collateral: to_v2(&self.collateral_farm.unwrap_or_default()),
            farm_debt: to_v2(&self.debt_farm.unwrap_or_default()),
            liquidity: ReserveLiquidity {
                mint_pubkey: to_v2(&self.mint),
                supply_vault: to_v2(&self.vault("reserve_liq_supply")),
                fee_vault: to_v2(&self.vault("fee_receiver")),
                total_available_amount: available,
                borrowed_amount_sf: (u128::from(borrowed) * u128::from(ONE)).into(),
                mint_decimals: self.decimals.into(),
                cumulative_borrow_rate_bsf: BigFractionBytes {
                    // 1.25: a few years of interest.
                    value: [ONE + ONE / 4, 0, 0, 0],
                    padding: [0; 2],
                },
                token_program: to_v2(&self.token_program),
                ..ReserveLiquidity::zeroed()
            },
            collateral: ReserveCollateral {
                mint_pubkey: to_v2(&self.vault("reserve_coll_mint")),
                mint_total_supply: u64::try_from(ctokens).unwrap_or(u64::MAX),
                supply_vault: to_v2(&self.vault("reserve_coll_supply")),
                ..ReserveCollateral::zeroed()
            },
            config: self.config(),
            borrowed_amount_outside_elevation_group: borrowed,
            ..Reserve::zeroed()
        }
    }

    fn config(&self) -> ReserveConfig {
        let mut config = ReserveConfig {
            host_fixed_interest_rate_bps: self.host_fixed_rate_bps,
            protocol_take_rate_pct: self.take_rate_pct,
            protocol_liquidation_fee_pct: 50,
            loan_to_value_pct: self.loan_to_value_pct,
            liquidation_threshold_pct: self.liquidation_threshold_pct,
            min_liquidation_bonus_bps: self.liquidation_bonus_bps.0,
            max_liquidation_bonus_bps: self.liquidation_bonus_bps.1,
            bad_debt_liquidation_bonus_bps: 99,
            deleveraging_margin_call_period_secs: 7 * DAY,
            deleveraging_threshold_decrease_bps_per_day: 7_200,
            fees: ReserveFees { flash_loan_fee_sf: FLASH_LOAN_FEE_SF, ..ReserveFees::zeroed() },
            borrow_rate_curve: curve(self.curve),
            borrow_factor_pct: self.borrow_factor_pct,
            deposit_limit: self.units(self.deposit_limit),
            borrow_limit: self.units(self.borrow_limit),
            token_info: self.token_info(),
            deposit_withdrawal_cap: self.daily_cap(self.daily_caps.0),
            debt_withdrawal_cap: self.daily_cap(self.daily_caps.1),
            borrow_limit_outside_elevation_group: u64::MAX,
            ..ReserveConfig::zeroed()
        };
        config.elevation_groups[..self.elevation_groups.len()]
            .copy_from_slice(self.elevation_groups);
        fields::set_interest_rate_basis(&mut config, u8::from(self.counts_seconds));
        for group in self.collateral_in_groups {
            let index = usize::from(group - 1);
            config.borrow_limit_against_this_collateral_in_elevation_group[index] = u64::MAX;
        }
        config
    }

    fn token_info(&self) -> TokenInfo {
        TokenInfo {
            name: text(self.symbol),
            heuristic: PriceHeuristic { lower: self.heuristic.0, upper: self.heuristic.1, exp: 2 },
            max_twap_divergence_bps: self.max_twap_divergence_bps,
            max_age_price_seconds: 180,
            max_age_twap_seconds: 240,
            scope_configuration: ScopeConfiguration {
                price_feed: to_v2(&SCOPE_PRICES),
                price_chain: self.price_chain,
                twap_chain: self.twap_chain,
            },
            ..TokenInfo::zeroed()
        }
    }

    fn daily_cap(&self, whole_tokens: u64) -> WithdrawalCaps {
        WithdrawalCaps {
            config_capacity: self.units(whole_tokens).cast_signed(),
            current_total: 0,
            last_interval_start_timestamp: UNIX_TIMESTAMP.cast_unsigned(),
            config_interval_length_seconds: DAY,
        }
    }
}

/// Updated at the snapshot's moment, and to be refreshed.
fn last_update() -> LastUpdate {
    let mut last_update = LastUpdate { slot: SLOT, stale: 1, ..LastUpdate::zeroed() };
    let now = u32::try_from(UNIX_TIMESTAMP).unwrap_or(u32::MAX);
    fields::set_timestamp(&mut last_update, now);
    last_update
}

/// klend wants eleven points; the last one fills the rest.
fn curve(given: &[(u32, u32)]) -> BorrowRateCurve {
    let mut points = [CurvePoint::zeroed(); 11];
    for (index, point) in points.iter_mut().enumerate() {
        if let Some((utilization_rate_bps, borrow_rate_bps)) =
            given.get(index).or(given.last()).copied()
        {
            *point = CurvePoint { utilization_rate_bps, borrow_rate_bps };
        }
    }
    BorrowRateCurve { points }
}

fn main_market() -> LendingMarket {
    let mut market = market(&MAIN_MARKET, "Main");
    let group = |id, debt_reserve, max_reserves_as_collateral, (ltv_pct, threshold), bonus| {
        ElevationGroup {
            max_liquidation_bonus_bps: bonus,
            id,
            ltv_pct,
            liquidation_threshold_pct: threshold,
            allow_new_loans: 1,
            max_reserves_as_collateral,
            debt_reserve: to_v2(debt_reserve),
            ..ElevationGroup::zeroed()
        }
    };
    for group in [
        group(GROUP_STAKED_SOL, &SOL_RESERVE, 1, (80, 90), 500),
        group(GROUP_PYUSD, &PYUSD_RESERVE, 2, (70, 80), 1_000),
    ] {
        market.elevation_groups[usize::from(group.id - 1)] = group;
    }
    market
}

fn market(key: &Address, name: &str) -> LendingMarket {
    let (_, bump) = market_authority(key);
    LendingMarket {
        version: PROGRAM_VERSION,
        bump_seed: bump.into(),
        lending_market_owner: to_v2(&named_address("lending market owner")),
        lending_market_owner_cached: to_v2(&named_address("lending market owner")),
        quote_currency: text("USD"),
        liquidation_max_debt_close_factor_pct: 10,
        insolvency_risk_unhealthy_ltv_pct: 95,
        min_full_liquidation_value_threshold: 2,
        max_liquidatable_debt_market_value_at_once: 2_500_000,
        global_allowed_borrow_value: 45_000_000,
        min_value_skip_liquidation_ltv_checks: 100,
        name: text(name),
        ..LendingMarket::zeroed()
    }
}

fn market_authority(market: &Address) -> (Address, u8) {
    let seeds: &[&[u8]] = &[b"lma", market.as_ref()];
    Address::find_program_address(seeds, &KLEND_PROGRAM_ID)
}

fn mints() -> Result<[(Address, Account); 4], ForkError> {
    let issuer = named_address("issuer");
    let figures = |decimals, whole_tokens: u64| MintFigures {
        supply: whole_tokens * 10u64.pow(u32::from(decimals)),
        decimals,
        authority: Some(issuer),
    };
    let explain = |key| move |reason| ForkError::Unexpected { what: "mint", key, reason };
    let native = MintFigures { supply: 0, decimals: 9, authority: None };
    let spl = |key, figures| tokens::mint(TOKEN_PROGRAM_ID, figures).map_err(explain(key));
    Ok([
        (USDC, spl(USDC, figures(6, 10_000_000_000))?),
        (NATIVE_MINT, spl(NATIVE_MINT, native)?),
        (JITOSOL, spl(JITOSOL, figures(9, 12_000_000))?),
        (
            PYUSD,
            tokens::stablecoin_mint(figures(6, 1_000_000_000), issuer).map_err(explain(PYUSD))?,
        ),
    ])
}

fn prices() -> Account {
    let mut account = scope::empty_table(named_address("oracle mappings"));
    let mut table = Table(&mut account);
    for (index, price) in PRICES {
        table.set(index, price, SLOT, UNIX_TIMESTAMP.cast_unsigned());
    }
    account
}

fn text(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}
