//! The bytes on the page for integrators are those of the code.

use std::{
    fs,
    mem::{offset_of, size_of},
    path::Path,
};

use anchor_lang::{AnchorSerialize, Discriminator, InstructionData};
use flash_liquidator::{
    LiquidateArgs, Liquidated, OpenArgs, Redemption, SwapLeg, instruction as ours, klend,
};
use klend_interface::state::{
    Obligation, ObligationCollateral, ObligationLiquidity, Reserve, ReserveCollateral,
    ReserveConfig, ReserveFees, ReserveLiquidity, TokenInfo,
};
use solana_address::Address;

const USDC: u64 = 1_000_000;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrate.md");
    fs::read_to_string(path).unwrap()
}

/// The bytes of the block `hex NAME`: the first column of each line.
fn block(name: &str) -> Vec<u8> {
    let page = page();
    let (_, rest) = page
        .split_once(&format!("```hex {name}\n"))
        .unwrap_or_else(|| panic!("the page has no block `hex {name}`"));
    let (block, _) = rest.split_once("```").unwrap();
    let digits: String =
        block.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn liquidate_is_encoded_as_the_page_shows() {
    let mut data = vec![0; 24];
    data[..8].copy_from_slice(&[0xf8, 0xc6, 0x9e, 0x91, 0xe1, 0x75, 0x87, 0xc8]);
    let args = LiquidateArgs {
        repay_amount: u64::MAX,
        min_collateral_received: 1,
        min_profit: USDC as i64,
        deadline_slot: 298_287_242,
        flash_borrow_index: 2,
        flash_repay_index: 9,
        redemption: Redemption::RequireFull,
        deposit_reserve_count: 0,
        has_permissioner: false,
        intermediate_count: 0,
        swap_authority_bump: 254,
        legs: vec![SwapLeg { account_count: 12, input: 0, amount_in_offset: Some(8), data }],
    };
    assert_eq!(ours::Liquidate { args }.data(), block("liquidate"));
}

#[test]
fn the_bracket_is_encoded_as_the_page_shows() {
    let args = OpenArgs {
        flash_borrow_index: 2,
        flash_repay_index: 9,
        settle_index: 8,
        bracket_bump: 255,
        min_profit: USDC as i64,
        deadline_slot: 0,
        max_lamports_spent: 5_000,
        max_losses: Vec::new(),
    };
    assert_eq!(ours::Open { args }.data(), block("open"));
    assert_eq!(ours::Settle {}.data(), block("settle"));
    assert_eq!(ours::Sweep { swap_authority_bump: 254 }.data(), block("sweep"));
}

#[test]
fn the_event_is_encoded_as_the_page_shows() {
    let key = |byte| Address::new_from_array([byte; 32]);
    let event = Liquidated {
        keeper: key(1),
        obligation: key(2),
        lending_market: key(3),
        repay_reserve: key(4),
        withdraw_reserve: key(5),
        flash_reserve: key(6),
        debt_mint: key(7),
        collateral_mint: key(8),
        flash_loan: 20_000 * USDC,
        flash_fee: 200_000,
        debt_repaid: 20_000 * USDC,
        collateral_received: 143_480_100_243,
        protocol_fee: 3_499_514_641,
        ctokens_received: 0,
        collateral_sold: 143_480_100_243,
        swap_proceeds: 20_818_617_088,
        profit: 818_417_088,
        min_profit: USDC as i64,
    };
    let mut bytes = Liquidated::DISCRIMINATOR.to_vec();
    event.serialize(&mut bytes).unwrap();
    assert_eq!(bytes, block("Liquidated"));
}

#[test]
fn the_flash_loan_is_encoded_as_klend_wants_it() {
    let amount = (20_000 * USDC).to_le_bytes();
    let borrow = [&klend::FLASH_BORROW_DISCRIMINATOR[..], &amount].concat();
    assert_eq!(borrow, block("flash_borrow"));
    let repay = [&klend::FLASH_REPAY_DISCRIMINATOR[..], &amount, &[2]].concat();
    assert_eq!(repay, block("flash_repay"));
}

/// The rows `| offset | type | field | … |` of the table behind `heading`.
fn offsets(heading: &str) -> Vec<(usize, String)> {
    let page = page();
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no `{heading}`"));
    rest.lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let offset = cells.next()?.parse().ok()?;
            Some((offset, cells.nth(1)?.trim_matches('`').to_owned()))
        })
        .collect()
}

#[test]
fn klends_accounts_are_laid_out_as_the_page_says() {
    const START: usize = 8;
    let liquidity = START + offset_of!(Reserve, liquidity);
    let collateral = START + offset_of!(Reserve, collateral);
    let config = START + offset_of!(Reserve, config);
    let token_info = config + offset_of!(ReserveConfig, token_info);
    let reserve = [
        (START + offset_of!(Reserve, lending_market), "lending_market"),
        (START + offset_of!(Reserve, farm_collateral), "farm_collateral"),
        (START + offset_of!(Reserve, farm_debt), "farm_debt"),
        (liquidity + offset_of!(ReserveLiquidity, mint_pubkey), "liquidity.mint_pubkey"),
        (liquidity + offset_of!(ReserveLiquidity, supply_vault), "liquidity.supply_vault"),
        (liquidity + offset_of!(ReserveLiquidity, fee_vault), "liquidity.fee_vault"),
        (
            liquidity + offset_of!(ReserveLiquidity, total_available_amount),
            "liquidity.total_available_amount",
        ),
        (liquidity + offset_of!(ReserveLiquidity, mint_decimals), "liquidity.mint_decimals"),
        (liquidity + offset_of!(ReserveLiquidity, token_program), "liquidity.token_program"),
        (collateral + offset_of!(ReserveCollateral, mint_pubkey), "collateral.mint_pubkey"),
        (collateral + offset_of!(ReserveCollateral, supply_vault), "collateral.supply_vault"),
        (
            config + offset_of!(ReserveConfig, fees) + offset_of!(ReserveFees, flash_loan_fee_sf),
            "config.fees.flash_loan_fee_sf",
        ),
        (
            token_info + offset_of!(TokenInfo, scope_configuration.price_feed),
            "scope_configuration.price_feed",
        ),
        (
            token_info + offset_of!(TokenInfo, switchboard_configuration.price_aggregator),
            "switchboard_configuration.price_aggregator",
        ),
        (
            token_info + offset_of!(TokenInfo, switchboard_configuration.twap_aggregator),
            "switchboard_configuration.twap_aggregator",
        ),
        (token_info + offset_of!(TokenInfo, pyth_configuration.price), "pyth_configuration.price"),
    ];
    let obligation = [
        (START + offset_of!(Obligation, lending_market), "lending_market"),
        (START + offset_of!(Obligation, owner), "owner"),
        (START + offset_of!(Obligation, deposits), "deposits"),
        (START + offset_of!(Obligation, borrows), "borrows"),
        (
            START + offset_of!(Obligation, borrow_factor_adjusted_debt_value_sf),
            "borrow_factor_adjusted_debt_value_sf",
        ),
        (START + offset_of!(Obligation, unhealthy_borrow_value_sf), "unhealthy_borrow_value_sf"),
        (START + offset_of!(Obligation, elevation_group), "elevation_group"),
        (START + offset_of!(Obligation, referrer), "referrer"),
    ];
    for (heading, expected) in
        [("A **reserve** begins", &reserve[..]), ("An **obligation** begins", &obligation[..])]
    {
        let expected: Vec<_> =
            expected.iter().map(|(offset, field)| (*offset, (*field).to_owned())).collect();
        assert_eq!(offsets(heading), expected, "{heading}");
    }
    // What the rows say of lists: `8 × 136`, `5 × 200`, a u64 at 32, a u128 at 88.
    assert_eq!(size_of::<ObligationCollateral>(), 136);
    assert_eq!(size_of::<ObligationLiquidity>(), 200);
    assert_eq!(offset_of!(ObligationCollateral, deposit_reserve), 0);
    assert_eq!(offset_of!(ObligationCollateral, deposited_amount), 32);
    assert_eq!(offset_of!(ObligationLiquidity, borrow_reserve), 0);
    assert_eq!(offset_of!(ObligationLiquidity, borrowed_amount_sf), 88);
    assert_eq!((START + size_of::<Reserve>(), START + size_of::<Obligation>()), (8_624, 3_344));
}
