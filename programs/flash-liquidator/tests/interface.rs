//! What runs on chain against what Anchor announces: discriminators, accounts, and
//! arguments are read as Anchor would read them.

use std::{collections::BTreeSet, fmt::Debug};

use anchor_lang::{
    Accounts, AnchorDeserialize, AnchorSerialize, Bumps, Discriminator, ToAccountInfos,
    ToAccountMetas,
    error::ErrorCode,
    prelude::{AccountInfo, ProgramError, Pubkey},
    solana_program::instruction::AccountMeta,
};
use flash_liquidator::{
    BracketAccounts, FlashLiquidatorError, Liquidate, LiquidateArgs, OpenArgs, Redemption, SwapLeg,
    Sweep,
    account_list::AccountList,
    accounts,
    entrypoint::{self, process_instruction},
    instruction, klend,
};
use solana_sdk_ids::{system_program, sysvar};

fn number(error: impl Into<u32>) -> u64 {
    error.into().into()
}

fn key(number: u8) -> Pubkey {
    Pubkey::new_from_array([number; 32])
}

fn liquidate_metas(swap_accounts: Option<Pubkey>) -> Vec<AccountMeta> {
    accounts::Liquidate {
        keeper: key(1),
        obligation: key(2),
        lending_market: key(3),
        lending_market_authority: key(4),
        repay_reserve: key(5),
        debt_mint: key(6),
        repay_reserve_liquidity_supply: key(7),
        withdraw_reserve: key(8),
        collateral_mint: key(9),
        ctoken_mint: key(10),
        withdraw_reserve_collateral_supply: key(11),
        withdraw_reserve_liquidity_supply: key(12),
        withdraw_reserve_fee_vault: key(13),
        keeper_debt: key(14),
        keeper_ctoken: key(15),
        keeper_collateral: key(16),
        ctoken_token_program: key(17),
        debt_token_program: key(18),
        collateral_token_program: key(19),
        instructions_sysvar: sysvar::instructions::ID,
        collateral_farm_user_state: key(20),
        collateral_farm_state: key(21),
        debt_farm_user_state: key(22),
        debt_farm_state: key(23),
        farms_program: key(24),
        klend_program: klend::PROGRAM_ID,
        flash_reserve: key(25),
        swap_authority: key(26),
        swap_collateral: swap_accounts,
        swap_debt: swap_accounts,
    }
    .to_account_metas(None)
}

fn bracket_metas() -> Vec<AccountMeta> {
    accounts::BracketAccounts {
        keeper: key(1),
        bracket: key(2),
        keeper_debt: key(3),
        debt_mint: key(4),
        debt_token_program: key(5),
        flash_reserve: key(6),
        instructions_sysvar: sysvar::instructions::ID,
        system_program: system_program::ID,
    }
    .to_account_metas(None)
}

/// How an account list was taken: keys in the order of the fields, and how many
/// accounts remain; or the number of the error.
type Taken = Result<(Vec<Pubkey>, usize), u64>;

/// Takes accounts of these keys and flags as the program does, and as Anchor does.
fn take_twice<T, B>(
    metas: &[AccountMeta],
    take: fn(&mut AccountList<'static>) -> Result<T, ProgramError>,
) -> [Taken; 2]
where
    T: Accounts<'static, B> + ToAccountInfos<'static> + Bumps<Bumps = B>,
    B: Default,
{
    // Accounts that outlive every borrow of them, as in a program.
    let infos: Vec<_> = metas
        .iter()
        .map(|meta| {
            let (key, owner) = (Box::leak(Box::new(meta.pubkey)), Box::leak(Box::default()));
            let lamports = Box::leak(Box::new(0));
            AccountInfo::new(key, meta.is_signer, meta.is_writable, lamports, &mut [], owner, true)
        })
        .collect();
    let infos: &'static [AccountInfo<'static>] = infos.leak();
    let keys = |accounts: &T| -> Vec<_> {
        accounts.to_account_infos().iter().map(|info| *info.key).collect()
    };

    let mut list = AccountList::new(infos);
    let ours = match take(&mut list) {
        Ok(accounts) => Ok((keys(&accounts), list.remaining().len())),
        Err(error) => Err(error.into()),
    };
    let (mut rest, mut bumps) = (infos, B::default());
    let program = &flash_liquidator::ID;
    let theirs = match T::try_accounts(program, &mut rest, &[], &mut bumps, &mut BTreeSet::new()) {
        Ok(accounts) => Ok((keys(&accounts), rest.len())),
        Err(error) => Err(ProgramError::from(error).into()),
    };
    [ours, theirs]
}

/// The list right, and wrong in every single respect: both ways end alike.
fn assert_taken_alike<T, B>(
    metas: &[AccountMeta],
    take: fn(&mut AccountList<'static>) -> Result<T, ProgramError>,
) where
    T: Accounts<'static, B> + ToAccountInfos<'static> + Bumps<Bumps = B>,
    B: Default,
{
    let named: Vec<_> =
        metas.iter().map(|meta| meta.pubkey).filter(|key| *key != flash_liquidator::ID).collect();
    let [ours, theirs] = take_twice(metas, take);
    assert_eq!(ours, Ok((named.clone(), 0)));
    assert_eq!(ours, theirs);

    let more = [metas, &[AccountMeta::new(key(99), false)]].concat();
    let [ours, theirs] = take_twice(&more, take);
    assert_eq!(ours, Ok((named, 1)));
    assert_eq!(ours, theirs);

    let mut refused = BTreeSet::new();
    let mut check = |what: &str, metas: &[AccountMeta]| {
        let [ours, theirs] = take_twice(metas, take);
        // What Anchor says of its types `Signer` and `Program`, which are the same checks.
        let theirs = theirs.map_err(|code| match code {
            code if code == number(ErrorCode::ConstraintSigner) => {
                number(ErrorCode::AccountNotSigner)
            }
            code if code == number(ErrorCode::ConstraintAddress) => {
                number(ErrorCode::InvalidProgramId)
            }
            code => code,
        });
        assert_eq!(ours, theirs, "{what}");
        refused.extend(ours.err());
    };
    for count in 0..metas.len() {
        check("too few", &metas[..count]);
    }
    for position in 0..metas.len() {
        for (what, change) in [
            ("signer", (|meta| meta.is_signer ^= true) as fn(&mut AccountMeta)),
            ("writable", |meta| meta.is_writable ^= true),
            ("another", |meta| meta.pubkey = key(77)),
        ] {
            let mut metas = metas.to_vec();
            change(&mut metas[position]);
            check(&format!("{what}: {position}"), &metas);
        }
    }
    let mut codes = vec![
        number(ErrorCode::ConstraintMut),
        number(ErrorCode::AccountNotEnoughKeys),
        number(ErrorCode::AccountNotSigner),
    ];
    if metas.iter().any(|meta| meta.pubkey == sysvar::instructions::ID) {
        codes.push(number(FlashLiquidatorError::InstructionsSysvarMalformed));
    }
    for code in codes {
        assert!(refused.contains(&code), "{code} not among {refused:?}");
    }
}

#[test]
fn accounts_are_taken_as_announced() {
    for swap_accounts in [None, Some(key(27))] {
        assert_taken_alike(&liquidate_metas(swap_accounts), Liquidate::take);
    }
    assert_taken_alike(&bracket_metas(), BracketAccounts::take);
    let sweep = accounts::Sweep { keeper: key(1), swap_authority: key(2) };
    assert_taken_alike(&sweep.to_account_metas(None), Sweep::take);
}

#[test]
fn discriminators() {
    assert_eq!(entrypoint::LIQUIDATE, instruction::Liquidate::DISCRIMINATOR);
    assert_eq!(entrypoint::OPEN, instruction::Open::DISCRIMINATOR);
    assert_eq!(entrypoint::SETTLE, instruction::Settle::DISCRIMINATOR);
    assert_eq!(entrypoint::SWEEP, instruction::Sweep::DISCRIMINATOR);
}

fn code(error: Result<(), ProgramError>) -> u64 {
    error.expect_err("an error").into()
}

#[test]
fn what_is_no_instruction_is_refused() {
    let id = flash_liquidator::ID;
    assert_eq!(code(process_instruction(&key(1), &[], &entrypoint::SETTLE)), 4100);
    assert_eq!(code(process_instruction(&id, &[], &[])), 101);
    assert_eq!(code(process_instruction(&id, &[], &entrypoint::SETTLE[..7])), 101);
    assert_eq!(code(process_instruction(&id, &[], &[0; 8])), 101);
    for discriminator in [entrypoint::LIQUIDATE, entrypoint::OPEN, entrypoint::SWEEP] {
        assert_eq!(code(process_instruction(&id, &[], &discriminator)), 102);
    }
    let with_data = [&entrypoint::SETTLE[..], &[0]].concat();
    assert_eq!(code(process_instruction(&id, &[], &with_data)), 102);
    assert_eq!(code(process_instruction(&id, &[], &entrypoint::SETTLE)), 3005);
}

/// `args` survive encoding, and no other length is accepted.
fn assert_read_exactly<T>(args: &T)
where
    T: AnchorSerialize + AnchorDeserialize + Debug + PartialEq,
{
    let bytes = borsh(args);
    assert_eq!(T::deserialize(&mut &bytes[..]).unwrap(), *args);
    for len in 0..bytes.len() {
        T::deserialize(&mut &bytes[..len]).expect_err("cut short");
    }
    T::deserialize(&mut &[&bytes[..], &[0]].concat()[..]).expect_err("a byte too many");
}

fn borsh(value: &impl AnchorSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.serialize(&mut bytes).expect("memory takes everything");
    bytes
}

fn liquidate_args() -> LiquidateArgs {
    LiquidateArgs {
        repay_amount: 1,
        min_collateral_received: 2,
        min_profit: -3,
        deadline_slot: 4,
        flash_borrow_index: 5,
        flash_repay_index: 6,
        redemption: Redemption::AllowPartial,
        deposit_reserve_count: 7,
        has_permissioner: true,
        intermediate_count: 8,
        swap_authority_bump: 9,
        legs: vec![
            SwapLeg { account_count: 10, input: 11, amount_in_offset: Some(12), data: vec![13] },
            SwapLeg { account_count: 14, input: 15, amount_in_offset: None, data: vec![16; 300] },
        ],
    }
}

#[test]
fn arguments_are_read_as_they_are_written() {
    assert_read_exactly(&liquidate_args());
    assert_read_exactly(&LiquidateArgs {
        redemption: Redemption::RequireFull,
        legs: vec![],
        ..liquidate_args()
    });
    for max_losses in [vec![], vec![u64::MAX, 0, 7]] {
        assert_read_exactly(&OpenArgs {
            flash_borrow_index: 1,
            flash_repay_index: 2,
            settle_index: 3,
            bracket_bump: 4,
            min_profit: i64::MIN,
            deadline_slot: u64::MAX,
            max_lamports_spent: 5,
            max_losses,
        });
    }
}

#[test]
fn tags_and_counts_that_mean_nothing_are_refused() {
    let valid = borsh(&liquidate_args());
    // Redemption, permissioner, count of legs, tag of the first leg's offset, length of
    // its data.
    let bad = [(34, &[2][..]), (36, &[2]), (39, &[255; 4]), (45, &[2]), (48, &[255; 4])];
    for (position, bad) in bad {
        let mut bytes = valid.clone();
        bytes[position..position + bad.len()].copy_from_slice(bad);
        LiquidateArgs::deserialize(&mut &bytes[..]).expect_err("a bad tag or count");
    }
}
