//! Attacks on `liquidate`.

use flash_liquidator::{
    FlashLiquidatorError::*,
    Redemption,
    klend::{FLASH_LOANS_DISABLED, offset},
};
use flash_liquidator_client::receiver;
use flash_liquidator_tests::{Plan, Stage, bank::CPI_FORWARDER, plan::account::*, stage::LOAN};
use klend_fork::{NATIVE_MINT, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, deploy_folder};
use klend_interface::state::{GlobalConfig, SplDiscriminate as _};
use klend_model::constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID};
use solana_account::Account;
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};
use solana_program_option::COption;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, loader_v4, system_program,
};
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use spl_token_interface::{instruction as token, state::AccountState};
use swap_stand_in::Variant;

use crate::{
    attack::{Sent, Stop::*, attacks, ending},
    parser,
};

/// `update_reserve_config(mode: u8, value: Vec<u8>, skip_validation: bool)` of klend.
const UPDATE_RESERVE_CONFIG: [u8; 8] = [61, 148, 100, 70, 143, 107, 17, 13];
/// Its mode for the fee of flash loans.
const UPDATE_FLASH_LOAN_FEE: u8 = 6;
const ASSOCIATED_TOKEN_PROGRAM: Address = address!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

attacks! {
    // The flash loan.
    called_by_another_program: Ours(NotTopLevel),
    spoofed_instructions_sysvar: Ours(InstructionsSysvarMalformed),
    liquidate_before_the_loan: Ours(FlashBorrowNotBefore),
    liquidate_after_the_repay: Ours(FlashRepayNotAfter),
    borrow_index_names_another_instruction: Ours(FlashBorrowInvalid),
    repay_index_names_another_instruction: Ours(FlashRepayInvalid),
    repay_index_names_no_instruction: Ours(FlashRepayInvalid),
    loan_of_somebody_else: Ours(FlashLoanWrongKeeper),
    fee_of_a_reserve_that_did_not_lend: Ours(FlashLoanWrongReserve),
    loan_of_another_mint: Ours(FlashLoanWrongMint),
    loan_into_another_account: Ours(FlashLoanWrongTokenAccount),
    repay_another_amount_than_borrowed: Code(6033),
    repay_from_another_account: Code(6033),
    borrow_without_repay: Code(6032),
    borrow_twice: Code(6035),
    borrow_by_cpi: Code(6031),
    borrow_more_than_there_is: Code(6008),
    flash_loans_disabled: Code(6036),
    loan_spent_on_the_way: Code(1),

    // Flags of accounts.
    keeper_who_does_not_sign: Code(3010),
    swap_account_that_is_read_only: Code(2000),

    // Arguments.
    after_the_deadline: Ours(DeadlinePassed),
    repay_nothing: Ours(RepayAmountZero),
    repay_more_than_the_loan: Ours(RepayAmountExceedsLoan),
    bytes_after_the_arguments: Code(102),
    arguments_cut_short: Code(102),
    leg_data_that_announces_more_than_memory_holds: Code(102),

    // klend's accounts.
    another_klend: Ours(WrongKlendProgram),
    market_of_another_program: Ours(KlendAccountInvalid),
    obligation_in_place_of_the_market: Ours(KlendAccountInvalid),
    reserve_in_place_of_the_market: Ours(KlendAccountInvalid),
    collateral_reserve_in_emergency: Ours(ReserveInEmergencyMode),
    debt_reserve_in_emergency: Ours(ReserveInEmergencyMode),
    debt_reserve_of_another_market: Code(2001),
    obligation_not_refreshed: Code(6017),
    reserves_not_refreshed: Code(6009),
    healthy_obligation: Code(6016),
    vault_in_place_of_the_fee_vault: Code(2012),

    // The keeper's token accounts.
    another_token_program: Ours(TokenProgramMismatch),
    frozen_ctoken_account: Ours(TokenAccountInvalid),
    ctoken_account_of_another_mint: Ours(TokenAccountWrongMint),
    debt_account_in_place_of_the_collateral_account: Ours(TokenAccountWrongMint),
    ctokens_to_a_thief: Ours(TokenAccountWrongOwner),
    collateral_to_a_thief: Ours(TokenAccountWrongOwner),
    same_mint_with_two_accounts: Ours(SameMintNeedsOneAccount),

    // What arrives.
    ctokens_left_over: Ours(RedemptionIncomplete),
    too_little_collateral: Ours(CollateralBelowMinimum),
    collateral_not_sold: Ours(ProfitBelowMinimum),
    fee_raised_after_the_quote: Ours(ProfitBelowMinimum),
    fee_raised_by_a_leg: Ours(ProfitBelowMinimum),
    fee_that_no_number_holds: Ours(MathOverflow),
    gift_counted_as_profit: Ours(ProfitBelowMinimum),

    // The swap.
    swap_authority_of_somebody_else: Ours(SwapAuthorityMismatch),
    leg_without_swap_collateral: Ours(SwapCollateralMissing),
    leg_with_too_few_accounts: Ours(RemainingAccountsMissing),
    more_deposit_reserves_than_accounts: Ours(RemainingAccountsMissing),
    more_intermediates_than_accounts: Ours(RemainingAccountsMissing),
    accounts_behind_the_last_leg: Ours(RemainingAccountsUnused),
    accounts_without_a_leg: Ours(RemainingAccountsUnused),
    leg_without_a_program: Ours(LegEmpty),
    token_program_as_a_leg: Ours(LegProgramForbidden),
    wallet_as_a_leg: Ours(LegProgramNotExecutable),
    leg_of_an_unknown_input: Ours(LegInputUnknown),
    amount_beyond_the_data: Ours(LegAmountOffsetOutOfRange),
    leg_after_everything_is_sold: Ours(LegInputEmpty),
    swap_returns_less: Ours(ProfitBelowMinimum),
    swap_returns_nothing: Ours(ProfitBelowMinimum),
    swap_does_nothing: Ours(ProfitBelowMinimum),
    swap_takes_more_than_there_is: Code(1),
    swap_takes_what_lay_there: Ours(SwapOverspent),
    swap_sets_a_delegate_on_its_input: Ours(TokenAccountExposed),
    swap_sets_a_delegate_on_its_output: Ours(TokenAccountExposed),
    swap_sets_a_close_authority: Ours(TokenAccountExposed),
    swap_takes_over_its_output_account: Ours(TokenAccountWrongOwner),
    swap_takes_over_its_input_account: Ours(TokenAccountWrongOwner),
    swap_closes_its_input_account: Ours(TokenProgramMismatch),
    swap_takes_over_its_authority: Ours(SignerReassigned),
    swap_spends_from_the_debt_account: Ours(DebtAccountChanged),
    swap_signs_for_the_keeper: Runtime("PrivilegeEscalation"),
    swap_calls_us: Runtime("ReentrancyNotAllowed"),
    swap_borrows_from_klend: Code(6031),
}

// --- the flash loan ---------------------------------------------------------------

fn called_by_another_program(stage: &mut Stage) -> Sent {
    let elf = std::fs::read(deploy_folder().join("cpi_forwarder.so")).expect("cpi_forwarder.so");
    stage.world.deploy(&CPI_FORWARDER, &elf).expect("a program");
    let mut plan = stage.unsold();
    let liquidate = plan.liquidate();
    liquidate.accounts.push(AccountMeta::new_readonly(receiver::PROGRAM_ID, false));
    liquidate.program_id = CPI_FORWARDER;
    stage.send(&plan.instructions)
}

fn spoofed_instructions_sysvar(stage: &mut Stage) -> Sent {
    let fake = Address::new_unique();
    let plan = stage.unsold().account(INSTRUCTIONS_SYSVAR, &fake);
    spoof_sysvar(stage, &fake, &plan.instructions, plan.liquidate_index());
    stage.send(&plan.instructions)
}

/// An account that says what the instructions sysvar would while the instruction at
/// `current` runs.
pub fn spoof_sysvar(stage: &mut Stage, fake: &Address, plan: &[Instruction], current: usize) {
    let current = u16::try_from(current).expect("few instructions");
    let wallet = stage.account(&stage.thief.pubkey());
    stage.put(fake, Account { data: parser::serialized(plan, current), ..wallet });
}

fn liquidate_before_the_loan(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = stage.unsold();
    let (borrow, liquidate) = (plan.borrow_index(), plan.liquidate_index());
    stage.send(&plan.move_instruction(borrow, liquidate).instructions)
}

fn liquidate_after_the_repay(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    let plan = stage.unsold();
    let (borrow, repay) = (plan.borrow_index(), plan.repay_index());
    stage.send(&plan.move_instruction(repay, borrow + 1).instructions)
}

fn borrow_index_names_another_instruction(stage: &mut Stage) -> Sent {
    let plan = stage.unsold().args(|args| args.flash_borrow_index -= 1);
    stage.send(&plan.instructions)
}

fn repay_index_names_another_instruction(stage: &mut Stage) -> Sent {
    let keeper = stage.keeper.pubkey();
    let mut plan = stage.unsold().args(|args| args.flash_repay_index += 1);
    stage.give(&keeper, &stage.usdc.clone(), LOAN);
    plan.instructions.push(system::transfer(&keeper, &keeper, 1));
    stage.send(&plan.instructions)
}

fn repay_index_names_no_instruction(stage: &mut Stage) -> Sent {
    let plan = stage.unsold().args(|args| args.flash_repay_index = u8::MAX);
    stage.send(&plan.instructions)
}

fn loan_of_somebody_else(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let debt = stage.give(&keeper, &stage.usdc.clone(), LOAN);
    stage.edit_token_account(&debt, |account| {
        account.delegate = COption::Some(thief);
        account.delegated_amount = u64::MAX;
    });
    let mut plan = stage.unsold();
    plan.borrow().accounts[0].pubkey = thief;
    plan.repay().accounts[0].pubkey = thief;
    stage.send(&plan.instructions)
}

/// In the name of somebody who knows nothing of it.
fn keeper_who_does_not_sign(stage: &mut Stage) -> Sent {
    let mut plan = stage.unsold();
    plan.liquidate().accounts[KEEPER] = AccountMeta::new(stage.thief.pubkey(), false);
    stage.send(&plan.instructions)
}

fn swap_account_that_is_read_only(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    // Wherever it appears: a flag counts for the whole transaction.
    let swap_account = plan.liquidate().accounts[SWAP_COLLATERAL].pubkey;
    for account in &mut plan.liquidate().accounts {
        account.is_writable &= account.pubkey != swap_account;
    }
    stage.send(&plan.instructions)
}

fn fee_of_a_reserve_that_did_not_lend(stage: &mut Stage) -> Sent {
    let other = other_usdc_reserve(stage);
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = stage.unsold().account(FLASH_RESERVE, &other);
    stage.send(&plan.instructions)
}

fn loan_of_another_mint(stage: &mut Stage) -> Sent {
    let (keeper, sol) = (stage.keeper.pubkey(), stage.sol);
    let collateral = stage.token_account(&keeper, &sol);
    let mut rehearsal = stage.rehearsal();
    rehearsal.flash_reserve = sol;
    let mut plan = stage.plan(&rehearsal);
    plan.borrow().accounts[6].pubkey = collateral;
    plan.repay().accounts[6].pubkey = collateral;
    stage.send(&plan.instructions)
}

fn loan_into_another_account(stage: &mut Stage) -> Sent {
    let keeper = stage.keeper.pubkey();
    let first = stage.give(&keeper, &stage.usdc.clone(), LOAN);
    let second = Address::new_unique();
    let copy = stage.account(&first);
    stage.put(&second, copy);
    let mut plan = stage.unsold();
    plan.borrow().accounts[6].pubkey = second;
    plan.repay().accounts[6].pubkey = second;
    stage.send(&plan.instructions)
}

fn repay_another_amount_than_borrowed(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.repay().data[8..16].copy_from_slice(&(LOAN - 1).to_le_bytes());
    stage.send(&plan.instructions)
}

fn repay_from_another_account(stage: &mut Stage) -> Sent {
    let theirs = stage.give(&stage.thief.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    let thief = stage.thief.pubkey();
    let mut plan = stage.sold();
    plan.repay().accounts[0].pubkey = thief;
    plan.repay().accounts[6].pubkey = theirs;
    stage.send(&plan.instructions)
}

fn borrow_without_repay(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.instructions.truncate(plan.repay_index());
    stage.send(&plan.instructions)
}

fn borrow_twice(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let (borrow, at) = (plan.borrow().clone(), plan.borrow_index() + 1);
    plan.instructions.insert(at, borrow);
    stage.send(&plan.instructions)
}

fn borrow_by_cpi(stage: &mut Stage) -> Sent {
    let elf = std::fs::read(deploy_folder().join("cpi_forwarder.so")).expect("cpi_forwarder.so");
    stage.world.deploy(&CPI_FORWARDER, &elf).expect("a program");
    let mut plan = stage.sold();
    let borrow = plan.borrow();
    borrow.accounts.push(AccountMeta::new_readonly(KLEND_PROGRAM_ID, false));
    borrow.program_id = CPI_FORWARDER;
    stage.send(&plan.instructions)
}

fn borrow_more_than_there_is(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.borrow().data[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    plan.repay().data[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    stage.send(&plan.instructions)
}

fn flash_loans_disabled(stage: &mut Stage) -> Sent {
    poke(stage, &stage.usdc.clone(), offset::RESERVE_FLASH_LOAN_FEE_SF, FLASH_LOANS_DISABLED);
    let plan = stage.sold();
    stage.send(&plan.instructions)
}

/// What stands between the loan and us may do what it likes; the repay then has
/// nothing to take.
fn loan_spent_on_the_way(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let plan = stage.sold();
    let debt = stage.token_account(&keeper, &stage.usdc);
    let theirs = stage.token_account(&thief, &stage.usdc);
    let steal = token::transfer(&TOKEN_PROGRAM_ID, &debt, &theirs, &keeper, &[], LOAN / 2)
        .expect("a transfer");
    let plan = plan.args(|args| args.repay_amount = LOAN / 4).before_liquidate(steal);
    stage.send(&plan.instructions)
}

// --- arguments --------------------------------------------------------------------

fn after_the_deadline(stage: &mut Stage) -> Sent {
    let slot = stage.world.slot();
    let plan = stage.sold().args(|args| args.deadline_slot = slot - 1);
    stage.send(&plan.instructions)
}

fn repay_nothing(stage: &mut Stage) -> Sent {
    let plan = stage.sold().args(|args| args.repay_amount = 0);
    stage.send(&plan.instructions)
}

fn repay_more_than_the_loan(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    let plan = stage.unsold().args(|args| args.repay_amount = LOAN + 1);
    stage.send(&plan.instructions)
}

fn bytes_after_the_arguments(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.liquidate().data.push(0);
    stage.send(&plan.instructions)
}

fn arguments_cut_short(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.liquidate().data.pop();
    stage.send(&plan.instructions)
}

fn leg_data_that_announces_more_than_memory_holds(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let leg = swap_stand_in::swap_data(Variant::Honest, 0, 0, 0).len();
    let data = &mut plan.liquidate().data;
    let length = data.len() - leg - 4;
    data[length..length + 4].copy_from_slice(&1_000_000u32.to_le_bytes());
    stage.send(&plan.instructions)
}

// --- klend's accounts -------------------------------------------------------------

fn another_klend(stage: &mut Stage) -> Sent {
    let plan = stage.unsold().account(KLEND_PROGRAM, &swap_stand_in::ID);
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    stage.send(&plan.instructions)
}

fn market_of_another_program(stage: &mut Stage) -> Sent {
    let plan = stage.sold();
    let market = plan.instructions[plan.liquidate_index()].accounts[LENDING_MARKET].pubkey;
    let fake = Address::new_unique();
    let account = stage.account(&market);
    stage.put(&fake, Account { owner: swap_stand_in::ID, ..account });
    stage.send(&plan.account(LENDING_MARKET, &fake).instructions)
}

fn obligation_in_place_of_the_market(stage: &mut Stage) -> Sent {
    let obligation = stage.obligation;
    let other = Address::new_unique();
    let copy = stage.account(&obligation);
    stage.put(&other, copy);
    let plan = stage.sold().account(LENDING_MARKET, &other);
    stage.send(&plan.instructions)
}

fn reserve_in_place_of_the_market(stage: &mut Stage) -> Sent {
    let other = other_usdc_reserve(stage);
    let plan = stage.sold().account(LENDING_MARKET, &other);
    stage.send(&plan.instructions)
}

// Reserves that the transaction does not refresh: klend may refuse that already.

fn collateral_reserve_in_emergency(stage: &mut Stage) -> Sent {
    let other = stage.world.reserve_named("JITOSOL").expect("a reserve");
    let plan = funded_unsold(stage).account(WITHDRAW_RESERVE, &other);
    poke_byte(stage, &other, offset::RESERVE_EMERGENCY_MODE, 1);
    stage.send(&plan.instructions)
}

fn debt_reserve_in_emergency(stage: &mut Stage) -> Sent {
    let other = other_usdc_reserve(stage);
    let plan = funded_unsold(stage).account(REPAY_RESERVE, &other);
    poke_byte(stage, &other, offset::RESERVE_EMERGENCY_MODE, 1);
    stage.send(&plan.instructions)
}

fn debt_reserve_of_another_market(stage: &mut Stage) -> Sent {
    let other = other_usdc_reserve(stage);
    let plan = stage.sold().account(REPAY_RESERVE, &other);
    stage.send(&plan.instructions)
}

fn obligation_not_refreshed(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let at = plan.liquidate_index() - 1;
    plan.instructions.remove(at);
    stage.world.warp_slots(1);
    stage.send(&plan.renumber().instructions)
}

fn reserves_not_refreshed(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let at = plan.borrow_index() + 1;
    plan.instructions.remove(at);
    stage.send(&plan.renumber().instructions)
}

fn healthy_obligation(stage: &mut Stage) -> Sent {
    let sol = stage.sol;
    let price = stage.world.price(&sol).expect("a price");
    let higher = price.scaled(125, 100).expect("a price");
    stage.world.set_price(&sol, higher).expect("a Scope price");
    let plan = stage.sold();
    stage.send(&plan.instructions)
}

fn vault_in_place_of_the_fee_vault(stage: &mut Stage) -> Sent {
    let theirs = stage.give(&stage.thief.pubkey(), &stage.sol.clone(), 1);
    let plan = stage.sold().account(FEE_VAULT, &theirs);
    stage.send(&plan.instructions)
}

// --- the keeper's token accounts --------------------------------------------------

fn another_token_program(stage: &mut Stage) -> Sent {
    let plan = stage.sold().account(DEBT_TOKEN_PROGRAM, &TOKEN_2022_PROGRAM_ID);
    stage.send(&plan.instructions)
}

fn frozen_ctoken_account(stage: &mut Stage) -> Sent {
    let plan = stage.sold();
    let ctoken = plan.instructions[plan.liquidate_index()].accounts[KEEPER_CTOKEN].pubkey;
    stage.edit_token_account(&ctoken, |account| account.state = AccountState::Frozen);
    stage.send(&plan.instructions)
}

fn ctoken_account_of_another_mint(stage: &mut Stage) -> Sent {
    let jitosol = stage.world.reserve_named("JITOSOL").expect("a reserve");
    let other = stage.give(&stage.keeper.pubkey(), &jitosol, 1);
    let plan = stage.sold().account(KEEPER_CTOKEN, &other);
    stage.send(&plan.instructions)
}

fn debt_account_in_place_of_the_collateral_account(stage: &mut Stage) -> Sent {
    let debt = stage.token_account(&stage.keeper.pubkey(), &stage.usdc);
    let plan = stage.sold().account(KEEPER_COLLATERAL, &debt);
    stage.send(&plan.instructions)
}

fn ctokens_to_a_thief(stage: &mut Stage) -> Sent {
    lend_out_all_but(stage, 0);
    let plan = funded_unsold(stage).args(|args| args.redemption = Redemption::AllowPartial);
    let ctoken = plan.instructions[plan.liquidate_index()].accounts[KEEPER_CTOKEN].pubkey;
    let theirs = account_of_the_thief(stage, &ctoken);
    stage.send(&plan.account(KEEPER_CTOKEN, &theirs).instructions)
}

fn collateral_to_a_thief(stage: &mut Stage) -> Sent {
    let plan = funded_unsold(stage);
    let keeper = stage.keeper.pubkey();
    let collateral = stage.token_account(&keeper, &stage.sol);
    let theirs = account_of_the_thief(stage, &collateral);
    // klend takes its fee out of that account with the keeper's signature.
    stage.edit_token_account(&theirs, |account| {
        account.delegate = COption::Some(keeper);
        account.delegated_amount = u64::MAX;
    });
    stage.send(&plan.account(KEEPER_COLLATERAL, &theirs).instructions)
}

fn same_mint_with_two_accounts(stage: &mut Stage) -> Sent {
    let usdc = stage.mint(&stage.usdc);
    let plan = stage.sold().account(COLLATERAL_MINT, &usdc);
    stage.send(&plan.instructions)
}

// --- what arrives -----------------------------------------------------------------

fn ctokens_left_over(stage: &mut Stage) -> Sent {
    lend_out_all_but(stage, 1_000_000_000);
    let plan = funded_unsold(stage);
    stage.send(&plan.instructions)
}

fn too_little_collateral(stage: &mut Stage) -> Sent {
    let plan = funded_unsold(stage).args(|args| args.min_collateral_received = u64::MAX);
    stage.send(&plan.instructions)
}

fn collateral_not_sold(stage: &mut Stage) -> Sent {
    let plan = funded_unsold(stage).args(|args| args.min_profit = 0);
    stage.send(&plan.instructions)
}

fn fee_raised_after_the_quote(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = stage.sold();
    poke(stage, &stage.usdc.clone(), offset::RESERVE_FLASH_LOAN_FEE_SF, 1 << 57);
    stage.send(&plan.instructions)
}

/// Whoever configures klend raises the fee while a leg runs; klend charges what it is
/// when the loan is repaid.
fn fee_raised_by_a_leg(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = stage.sold();
    let admin = stage.swap_authority();
    let raise = raise_flash_fee(stage, &admin);
    stage.send(&with_forward_leg(plan, &raise, &[]).instructions)
}

/// Makes `admin` the one who configures klend. klend's instruction by which it raises the
/// fee of the stage's flash loans to an eighth.
pub fn raise_flash_fee(stage: &mut Stage, admin: &Address) -> Instruction {
    let (global_config, _) = Address::find_program_address(&[b"global_config"], &KLEND_PROGRAM_ID);
    let mut data = vec![0; 8 + size_of::<GlobalConfig>()];
    data[..8].copy_from_slice(GlobalConfig::SPL_DISCRIMINATOR_SLICE);
    data[8..40].copy_from_slice(admin.as_array());
    let account =
        Account { lamports: 10_000_000, data, owner: KLEND_PROGRAM_ID, ..Account::default() };
    stage.put(&global_config, account);

    let mut data = UPDATE_RESERVE_CONFIG.to_vec();
    data.push(UPDATE_FLASH_LOAN_FEE);
    data.extend(8_u32.to_le_bytes());
    data.extend((1_u64 << 57).to_le_bytes());
    data.push(0);
    let market = stage.world.reserve_addresses(&stage.usdc).expect("a reserve").lending_market;
    Instruction {
        program_id: KLEND_PROGRAM_ID,
        accounts: vec![
            AccountMeta::new_readonly(*admin, true),
            AccountMeta::new_readonly(global_config, false),
            AccountMeta::new_readonly(market, false),
            AccountMeta::new(stage.usdc, false),
            AccountMeta::new_readonly(solana_sdk_ids::sysvar::instructions::ID, false),
        ],
        data,
    }
}

/// The loan itself is beyond anything there is; klend would refuse it when it is repaid.
fn fee_that_no_number_holds(stage: &mut Stage) -> Sent {
    const PRINCIPAL: u64 = 1 << 62;
    let usdc = stage.usdc;
    poke(stage, &usdc, offset::RESERVE_FLASH_LOAN_FEE_SF, FLASH_LOANS_DISABLED - 1);
    let vault = stage.world.reserve_addresses(&usdc).expect("a reserve").liquidity_supply_vault;
    stage
        .world
        .edit_reserve(&usdc, |reserve| reserve.liquidity.total_available_amount = PRINCIPAL)
        .expect("a reserve");
    stage.edit_token_account(&vault, |account| account.amount = PRINCIPAL);
    let mut plan = stage.unsold().args(|args| args.repay_amount = LOAN);
    for instruction in [plan.borrow_index(), plan.repay_index()] {
        plan.instructions[instruction].data[8..16].copy_from_slice(&PRINCIPAL.to_le_bytes());
    }
    stage.send(&plan.instructions)
}

/// Tokens that arrive from elsewhere in the same transaction are no profit.
fn gift_counted_as_profit(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let theirs = stage.give(&thief, &stage.usdc.clone(), 2 * LOAN);
    let plan = hostile(stage, Variant::ReturnNothing, 0);
    let debt = stage.token_account(&keeper, &stage.usdc);
    let gift = token::transfer(&TOKEN_PROGRAM_ID, &theirs, &debt, &thief, &[], 2 * LOAN)
        .expect("a transfer");
    stage.send(&plan.before_liquidate(gift).instructions)
}

// --- the swap ---------------------------------------------------------------------

fn swap_authority_of_somebody_else(stage: &mut Stage) -> Sent {
    let (authority, bump) = receiver::swap_authority(&stage.thief.pubkey());
    let plan = stage
        .sold()
        .account(SWAP_AUTHORITY, &authority)
        .args(|args| args.swap_authority_bump = bump);
    stage.send(&plan.instructions)
}

fn leg_without_swap_collateral(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    plan.liquidate().accounts[SWAP_COLLATERAL] =
        AccountMeta::new_readonly(receiver::PROGRAM_ID, false);
    stage.send(&plan.instructions)
}

fn leg_with_too_few_accounts(stage: &mut Stage) -> Sent {
    let plan = stage.sold().args(|args| args.legs[0].account_count += 1);
    stage.send(&plan.instructions)
}

fn more_deposit_reserves_than_accounts(stage: &mut Stage) -> Sent {
    let plan = stage.unsold().args(|args| args.deposit_reserve_count = 1);
    stage.send(&plan.instructions)
}

fn more_intermediates_than_accounts(stage: &mut Stage) -> Sent {
    let plan = stage.sold().args(|args| args.intermediate_count = 4);
    stage.send(&plan.instructions)
}

fn accounts_behind_the_last_leg(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let plan = stage.sold().remaining([AccountMeta::new_readonly(thief, false)]);
    stage.send(&plan.instructions)
}

fn accounts_without_a_leg(stage: &mut Stage) -> Sent {
    let thief = stage.thief.pubkey();
    let plan = funded_unsold(stage).remaining([AccountMeta::new_readonly(thief, false)]);
    stage.send(&plan.instructions)
}

fn leg_without_a_program(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold().args(|args| args.legs[0].account_count = 0);
    plan.liquidate().accounts.truncate(REMAINING);
    stage.send(&plan.instructions)
}

/// The swap authority's signature moves its tokens where the leg says.
fn token_program_as_a_leg(stage: &mut Stage) -> Sent {
    let plan = stage.sold();
    let theirs = stage.token_account(&stage.thief.pubkey(), &stage.sol);
    let plan = with_leg(
        plan.args(|args| args.min_profit = i64::MIN),
        &TOKEN_PROGRAM_ID,
        vec![
            AccountMeta::new(stage.token_account(&stage.swap_authority(), &stage.sol), false),
            AccountMeta::new(theirs, false),
            AccountMeta::new_readonly(stage.swap_authority(), false),
        ],
        vec![3; 9],
        Some(1),
    );
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    stage.send(&plan.instructions)
}

fn wallet_as_a_leg(stage: &mut Stage) -> Sent {
    let (plan, thief) = (stage.sold(), stage.thief.pubkey());
    let plan = with_leg(plan, &thief, Vec::new(), Vec::new(), None);
    stage.send(&plan.instructions)
}

fn leg_of_an_unknown_input(stage: &mut Stage) -> Sent {
    let plan = stage.sold().args(|args| args.legs[0].input = 1);
    stage.send(&plan.instructions)
}

fn amount_beyond_the_data(stage: &mut Stage) -> Sent {
    let plan = stage.sold().args(|args| {
        let leg = &mut args.legs[0];
        leg.amount_in_offset = Some(u16::try_from(leg.data.len()).expect("short data") - 7);
    });
    stage.send(&plan.instructions)
}

fn leg_after_everything_is_sold(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let leg = plan.liquidate().accounts[REMAINING..].to_vec();
    let plan = plan.remaining(leg).args(|args| args.legs.push(args.legs[0].clone()));
    stage.send(&plan.instructions)
}

fn swap_returns_less(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), LOAN);
    let plan = hostile(stage, Variant::ReturnLess, LOAN / 10);
    stage.send(&plan.instructions)
}

fn swap_returns_nothing(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    let plan = hostile(stage, Variant::ReturnNothing, 0);
    stage.send(&plan.instructions)
}

fn swap_does_nothing(stage: &mut Stage) -> Sent {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    let plan = hostile(stage, Variant::DoNothing, 0);
    stage.send(&plan.instructions)
}

fn swap_takes_more_than_there_is(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::TakeMore, 1);
    stage.send(&plan.instructions)
}

fn swap_takes_what_lay_there(stage: &mut Stage) -> Sent {
    stage.give(&stage.swap_authority(), &stage.sol.clone(), 5_000_000_000);
    let plan = hostile(stage, Variant::TakeMore, 1_000_000_000);
    stage.send(&plan.instructions)
}

fn swap_sets_a_delegate_on_its_input(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::DelegateInput, 0);
    stage.send(&plan.instructions)
}

fn swap_sets_a_delegate_on_its_output(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::DelegateOutput, 0);
    stage.send(&plan.instructions)
}

fn swap_sets_a_close_authority(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::CloseAuthorityOutput, 0);
    stage.send(&plan.instructions)
}

fn swap_takes_over_its_output_account(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::StealOutput, 0);
    stage.send(&plan.instructions)
}

fn swap_takes_over_its_input_account(stage: &mut Stage) -> Sent {
    let plan = hostile(stage, Variant::StealInput, 0);
    stage.send(&plan.instructions)
}

fn swap_closes_its_input_account(stage: &mut Stage) -> Sent {
    let mut plan = hostile(stage, Variant::CloseInput, 0);
    // The pool gets the rent.
    plan.liquidate().accounts[REMAINING + 2].is_writable = true;
    stage.send(&plan.instructions)
}

/// As an account of the token program the swap authority could become a multisig
/// of the thief's keys.
fn swap_takes_over_its_authority(stage: &mut Stage) -> Sent {
    let (plan, authority) = (stage.sold(), stage.swap_authority());
    let assign = system::assign(&authority, &TOKEN_PROGRAM_ID);
    let plan = with_forward_leg(plan, &assign, &[]);
    stage.send(&plan.instructions)
}

/// A keeper that once made its swap authority a delegate, and agrees to any loss: where
/// the proceeds go to the swap authority, its debt account is left alone all the same.
fn swap_spends_from_the_debt_account(stage: &mut Stage) -> Sent {
    let (keeper, thief, authority) =
        (stage.keeper.pubkey(), stage.thief.pubkey(), stage.swap_authority());
    let plan = stage.sold_through_authority();
    let debt = stage.give(&keeper, &stage.usdc.clone(), 2 * LOAN);
    stage.edit_token_account(&debt, |account| {
        account.delegate = COption::Some(authority);
        account.delegated_amount = u64::MAX;
    });
    let theirs = stage.token_account(&thief, &stage.usdc);
    let steal = token::transfer(&TOKEN_PROGRAM_ID, &debt, &theirs, &authority, &[], 2 * LOAN)
        .expect("a transfer");
    let plan = with_forward_leg(plan, &steal, &[]).args(|args| {
        args.min_profit = i64::MIN;
        args.legs.remove(0);
    });
    let mut plan = plan;
    let legs = plan.liquidate().accounts.split_off(REMAINING);
    plan.liquidate().accounts.extend_from_slice(&legs[12..]);
    stage.send(&plan.instructions)
}

fn swap_signs_for_the_keeper(stage: &mut Stage) -> Sent {
    let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
    let plan = stage.sold();
    let collateral = stage.give(&keeper, &stage.sol.clone(), 1_000);
    let theirs = stage.token_account(&thief, &stage.sol);
    let steal = token::transfer(&TOKEN_PROGRAM_ID, &collateral, &theirs, &keeper, &[], 1_000)
        .expect("a transfer");
    let plan = with_forward_leg(plan, &steal, &[2]);
    stage.send(&plan.instructions)
}

fn swap_calls_us(stage: &mut Stage) -> Sent {
    let plan = stage.sold();
    let liquidate = Instruction {
        program_id: receiver::PROGRAM_ID,
        accounts: Vec::new(),
        data: plan.instructions[plan.liquidate_index()].data.clone(),
    };
    let plan = with_forward_leg(plan, &liquidate, &[]);
    stage.send(&plan.instructions)
}

fn swap_borrows_from_klend(stage: &mut Stage) -> Sent {
    let mut plan = stage.sold();
    let mut borrow = plan.borrow().clone();
    borrow.accounts[0].pubkey = stage.swap_authority();
    let plan = with_forward_leg(plan, &borrow, &[]);
    stage.send(&plan.instructions)
}

// --- what must work all the same --------------------------------------------------

#[test]
fn an_honest_liquidation_gets_through() {
    for plan in [Stage::sold, Stage::sold_through_authority] {
        let mut stage = Stage::new();
        let plan = plan(&mut stage);
        stage.send(&plan.instructions).unwrap();
    }
    let mut stage = Stage::new();
    let plan = funded_unsold(&mut stage);
    stage.send(&plan.instructions).unwrap();
}

/// A transaction locks 64 accounts, but an instruction may list one again and again, as
/// the route of an aggregator does.
#[test]
fn a_leg_may_list_more_accounts_than_a_transaction_locks() {
    let mut stage = Stage::new();
    let mint = stage.mint(&stage.usdc);
    let again = std::iter::repeat_n(AccountMeta::new_readonly(mint, false), 100);
    let mut plan = stage.sold().remaining(again).args(|args| args.legs[0].account_count += 100);
    assert!(plan.liquidate().accounts.len() > 128);
    stage.send(&plan.instructions).unwrap();
}

#[test]
fn what_a_swap_leaves_behind_comes_back_to_the_keeper() {
    let mut stage = Stage::new();
    let dust = 1_000_000;
    let plan = hostile(&mut stage, Variant::LeaveDust, dust);
    stage.send(&plan.instructions).unwrap();
    let collateral = stage.token_account(&stage.keeper.pubkey(), &stage.sol);
    assert_eq!(stage.balance(&collateral), dust);
}

#[test]
fn what_lay_in_the_swap_accounts_stays_there() {
    let mut stage = Stage::new();
    let authority = stage.swap_authority();
    let sol = stage.give(&authority, &stage.sol.clone(), 7);
    let usdc = stage.give(&authority, &stage.usdc.clone(), 11);
    let plan = stage.sold_through_authority();
    stage.send(&plan.instructions).unwrap();
    assert_eq!((stage.balance(&sol), stage.balance(&usdc)), (7, 11));
}

#[test]
fn what_the_keeper_had_is_neither_spent_nor_counted() {
    let mut stage = Stage::new();
    let keeper = stage.keeper.pubkey();
    let sol = stage.give(&keeper, &stage.sol.clone(), 3_000_000_000);
    let usdc = stage.give(&keeper, &stage.usdc.clone(), 5_000_000_000);
    let plan = stage.sold();
    stage.send(&plan.instructions).unwrap();
    let with_funds = stage.balance(&usdc) - 5_000_000_000;
    assert_eq!(stage.balance(&sol), 3_000_000_000);

    let mut stage = Stage::new();
    let plan = stage.sold();
    stage.send(&plan.instructions).unwrap();
    assert_eq!(stage.balance(&usdc), with_funds, "the profit without own funds");
}

#[test]
fn two_liquidations_share_a_loan_and_each_covers_its_fee() {
    let mut stage = Stage::new();
    let mut rehearsal = stage.rehearsal();
    rehearsal.terms.repay_amount = LOAN / 4;
    let pool = stage.pool;
    let rehearsal = rehearsal.sell_through(&mut stage.world, &[pool]).unwrap();
    let plan = stage.plan(&rehearsal);
    // Refreshes and the liquidation once more.
    let again = plan.instructions[plan.borrow_index() + 1..=plan.liquidate_index()].to_vec();
    let mut twice = plan;
    for instruction in again {
        let at = twice.repay_index();
        twice = twice.insert(at, instruction);
    }
    let outcome = stage.send(&twice.instructions).unwrap();
    assert_eq!(outcome.data_of(&receiver::PROGRAM_ID).count(), 2);
}

#[test]
fn a_signer_among_the_deposit_reserves_stays_unused() {
    let mut stage = Stage::new();
    let thief = stage.thief.pubkey();
    let before = stage.account(&thief).lamports;
    let plan = funded_unsold(&mut stage)
        .remaining([AccountMeta::new(thief, true)])
        .args(|args| args.deposit_reserve_count = 1);
    let outcome = stage.send(&plan.instructions).unwrap();
    assert_eq!(stage.account(&thief).lamports, before);
    assert_eq!(outcome.fee, 10_000, "the thief signed indeed");
}

#[test]
fn no_program_that_could_abuse_the_signature_is_called() {
    for program in [
        receiver::PROGRAM_ID,
        KLEND_PROGRAM_ID,
        FARMS_PROGRAM_ID,
        TOKEN_PROGRAM_ID,
        TOKEN_2022_PROGRAM_ID,
        ASSOCIATED_TOKEN_PROGRAM,
        system_program::ID,
        bpf_loader_deprecated::ID,
        bpf_loader::ID,
        bpf_loader_upgradeable::ID,
        loader_v4::ID,
    ] {
        let mut stage = Stage::new();
        let plan = stage.sold();
        let plan = with_leg(plan, &program, Vec::new(), Vec::new(), None);
        let sent = stage.send(&plan.instructions);
        assert!(Ours(LegProgramForbidden).stopped(&sent), "{program}: {}", ending(&sent));
    }
}

// --- tools ------------------------------------------------------------------------

/// A liquidation that keeps the collateral, and a keeper that can afford it.
pub fn funded_unsold(stage: &mut Stage) -> Plan {
    stage.give(&stage.keeper.pubkey(), &stage.usdc.clone(), 2 * LOAN);
    stage.unsold()
}

/// A liquidation whose pool misbehaves; it pays the swap authority.
pub fn hostile(stage: &mut Stage, variant: Variant, parameter: u64) -> Plan {
    let data = swap_stand_in::swap_data(variant, 0, 0, parameter);
    stage.sold_through_authority().args(|args| args.legs[0].data = data)
}

/// Adds a leg behind the first.
fn with_leg(
    plan: Plan,
    program: &Address,
    accounts: Vec<AccountMeta>,
    data: Vec<u8>,
    amount_in_offset: Option<u16>,
) -> Plan {
    let account_count = u8::try_from(accounts.len() + 1).expect("few accounts");
    let leg = flash_liquidator::SwapLeg { account_count, input: 0, amount_in_offset, data };
    // First, while the input is still there.
    let mut plan = plan.args(|args| args.legs.insert(0, leg));
    let mut metas = vec![AccountMeta::new_readonly(*program, false)];
    metas.extend(accounts.into_iter().map(|meta| AccountMeta { is_signer: false, ..meta }));
    plan.liquidate().accounts.splice(REMAINING..REMAINING, metas);
    plan
}

/// Adds a leg behind the others in which the pool's program calls another one,
/// with the accounts at `signers` marked as signers.
pub fn with_forward_leg(plan: Plan, inner: &Instruction, signers: &[u8]) -> Plan {
    let leg = flash_liquidator::SwapLeg {
        account_count: u8::try_from(inner.accounts.len() + 2).expect("few accounts"),
        input: 0,
        amount_in_offset: None,
        data: swap_stand_in::forward_data(signers, &inner.data),
    };
    let mut metas = vec![
        AccountMeta::new_readonly(swap_stand_in::ID, false),
        AccountMeta::new_readonly(inner.program_id, false),
    ];
    metas
        .extend(inner.accounts.iter().map(|meta| AccountMeta { is_signer: false, ..meta.clone() }));
    plan.args(|args| args.legs.push(leg)).remaining(metas)
}

/// A copy of a token account that belongs to the thief and is empty.
pub fn account_of_the_thief(stage: &mut Stage, token_account: &Address) -> Address {
    let (theirs, thief) = (Address::new_unique(), stage.thief.pubkey());
    let copy = stage.account(token_account);
    stage.put(&theirs, copy);
    stage.edit_token_account(&theirs, |account| account.owner = thief);
    theirs
}

/// A reserve of the debt's mint in another market, whose loans are free.
fn other_usdc_reserve(stage: &mut Stage) -> Address {
    let mint = stage.mint(&stage.usdc);
    let other = stage
        .world
        .reserves()
        .expect("reserves")
        .into_keys()
        .find(|key| *key != stage.usdc && stage.mint(key) == mint)
        .expect("a second USDC reserve");
    poke(stage, &other, offset::RESERVE_FLASH_LOAN_FEE_SF, 0);
    other
}

/// Moves what the collateral's reserve has available, but for `units`, to its
/// borrowers.
fn lend_out_all_but(stage: &mut Stage, units: u64) {
    let sol = stage.sol;
    let vault = stage.world.reserve_addresses(&sol).expect("a reserve").liquidity_supply_vault;
    stage
        .world
        .edit_reserve(&sol, |reserve| {
            let lent = reserve.liquidity.total_available_amount - units;
            let borrowed: u128 = reserve.liquidity.borrowed_amount_sf.into();
            reserve.liquidity.total_available_amount = units;
            reserve.liquidity.borrowed_amount_sf = (borrowed + (u128::from(lent) << 60)).into();
        })
        .expect("a reserve");
    assert_eq!(stage.mint(&sol), NATIVE_MINT);
    stage.edit_token_account(&vault, |account| account.amount = units);
}

pub fn poke(stage: &mut Stage, key: &Address, offset: usize, value: u64) {
    let mut account = stage.account(key);
    account.data[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    stage.put(key, account);
}

fn poke_byte(stage: &mut Stage, key: &Address, offset: usize, value: u8) {
    let mut account = stage.account(key);
    account.data[offset] = value;
    stage.put(key, account);
}
