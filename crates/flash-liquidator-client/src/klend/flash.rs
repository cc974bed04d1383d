use klend_interface::instructions as v2;
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::Instruction;

use super::{
    ReserveAddresses,
    convert::{instruction, option},
    pda,
};

/// Who is credited with a share of the flash fee. The borrower's cost is the
/// same with and without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The referrer's wallet.
    pub account: Address,
    /// Its state in the lending reserve.
    pub token_state: Address,
}

impl Referrer {
    /// The referrer's state in `reserve`, where klend derives it.
    #[must_use]
    pub fn new(account: Address, reserve: &Address) -> Self {
        Self { account, token_state: pda::referrer_token_state(&account, reserve) }
    }
}

/// The accounts that both halves of a flash loan name. klend refuses the borrow
/// (6033) unless the repay names exactly the same ones, so both are built from
/// one value.
#[derive(Clone, Copy, Debug)]
pub struct FlashLoan<'a> {
    /// Reserve that lends.
    pub reserve: &'a ReserveAddresses,
    /// Signer; owner or delegate of `token_account`.
    pub borrower: Address,
    /// Where the loan arrives and what it is repaid from.
    pub token_account: Address,
    /// Who is credited with a share of the fee.
    pub referrer: Option<Referrer>,
}

/// `flash_borrow_reserve_liquidity`: lends `amount` units. Must be a top-level
/// instruction with its [`flash_repay`] later in the transaction.
#[must_use]
pub fn flash_borrow(loan: &FlashLoan, amount: u64) -> Instruction {
    let reserve = loan.reserve;
    instruction(v2::flash_borrow_reserve_liquidity(
        v2::FlashBorrowReserveLiquidityAccounts {
            user_transfer_authority: to_v2(&loan.borrower),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            lending_market: to_v2(&reserve.lending_market),
            reserve: to_v2(&reserve.reserve),
            reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_source_liquidity: to_v2(&reserve.liquidity_supply_vault),
            user_destination_liquidity: to_v2(&loan.token_account),
            reserve_liquidity_fee_receiver: to_v2(&reserve.fee_vault),
            referrer_token_state: option(loan.referrer.map(|referrer| referrer.token_state)),
            referrer_account: option(loan.referrer.map(|referrer| referrer.account)),
            token_program: to_v2(&reserve.liquidity_token_program),
        },
        amount,
    ))
}

/// `flash_repay_reserve_liquidity`: takes back `amount` units, the principal;
/// klend adds the fee by itself. `borrow_index` is the position of the
/// [`flash_borrow`] among the transaction's instructions.
#[must_use]
pub fn flash_repay(loan: &FlashLoan, amount: u64, borrow_index: u8) -> Instruction {
    let reserve = loan.reserve;
    instruction(v2::flash_repay_reserve_liquidity(
        v2::FlashRepayReserveLiquidityAccounts {
            user_transfer_authority: to_v2(&loan.borrower),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            lending_market: to_v2(&reserve.lending_market),
            reserve: to_v2(&reserve.reserve),
            reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_destination_liquidity: to_v2(&reserve.liquidity_supply_vault),
            user_source_liquidity: to_v2(&loan.token_account),
            reserve_liquidity_fee_receiver: to_v2(&reserve.fee_vault),
            referrer_token_state: option(loan.referrer.map(|referrer| referrer.token_state)),
            referrer_account: option(loan.referrer.map(|referrer| referrer.account)),
            token_program: to_v2(&reserve.liquidity_token_program),
        },
        amount,
        borrow_index,
    ))
}
