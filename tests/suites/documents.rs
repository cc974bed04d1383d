//! The bytes on the page for integrators are those of the code.

use std::{fs, path::Path};

use anchor_lang::{AnchorSerialize, Discriminator, InstructionData};
use flash_liquidator::{
    LiquidateArgs, Liquidated, OpenArgs, Redemption, SwapLeg, instruction as ours, klend,
};
use solana_address::Address;

const USDC: u64 = 1_000_000;

/// The bytes of the block `hex NAME`: the first column of each line.
fn block(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrate.md");
    let page = fs::read_to_string(&path).unwrap();
    let (_, rest) = page
        .split_once(&format!("```hex {name}\n"))
        .unwrap_or_else(|| panic!("{} has no block `hex {name}`", path.display()));
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
