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

impl FlashLoan<'_> {
    fn accounts(&self) -> v2::FlashBorrowReserveLiquidityAccounts {
        let reserve = self.reserve;
        v2::FlashBorrowReserveLiquidityAccounts {
            user_transfer_authority: to_v2(&self.borrower),
            lending_market_authority: to_v2(&reserve.lending_market_authority),
            lending_market: to_v2(&reserve.lending_market),
            reserve: to_v2(&reserve.reserve),
            reserve_liquidity_mint: to_v2(&reserve.liquidity_mint),
            reserve_source_liquidity: to_v2(&reserve.liquidity_supply_vault),
            user_destination_liquidity: to_v2(&self.token_account),
            reserve_liquidity_fee_receiver: to_v2(&reserve.fee_vault),
            referrer_token_state: option(self.referrer.map(|referrer| referrer.token_state)),
            referrer_account: option(self.referrer.map(|referrer| referrer.account)),
            token_program: to_v2(&reserve.liquidity_token_program),
        }
    }
}

/// `flash_borrow_reserve_liquidity`: lends `amount` units. Must be a top-level
/// instruction with its [`flash_repay`] later in the transaction.
#[must_use]
pub fn flash_borrow(loan: &FlashLoan, amount: u64) -> Instruction {
    instruction(v2::flash_borrow_reserve_liquidity(loan.accounts(), amount))
}

/// `flash_repay_reserve_liquidity`: takes back `amount` units, the principal;
/// klend adds the fee by itself. `borrow_index` is the position of the
/// [`flash_borrow`] among the transaction's instructions.
#[must_use]
pub fn flash_repay(loan: &FlashLoan, amount: u64, borrow_index: u8) -> Instruction {
    let borrow = loan.accounts();
    let accounts = v2::FlashRepayReserveLiquidityAccounts {
        user_transfer_authority: borrow.user_transfer_authority,
        lending_market_authority: borrow.lending_market_authority,
        lending_market: borrow.lending_market,
        reserve: borrow.reserve,
        reserve_liquidity_mint: borrow.reserve_liquidity_mint,
        reserve_destination_liquidity: borrow.reserve_source_liquidity,
        user_source_liquidity: borrow.user_destination_liquidity,
        reserve_liquidity_fee_receiver: borrow.reserve_liquidity_fee_receiver,
        referrer_token_state: borrow.referrer_token_state,
        referrer_account: borrow.referrer_account,
        token_program: borrow.token_program,
    };
    instruction(v2::flash_repay_reserve_liquidity(accounts, amount, borrow_index))
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use klend_interface::state::Reserve;
    use klend_model::keys::to_v2;

    use super::*;
    use crate::klend::PROGRAM_ID;

    #[test]
    fn both_halves_name_the_same_accounts_in_the_same_order() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut state = Reserve::zeroed();
        state.lending_market = to_v2(&key(1));
        state.liquidity.supply_vault = to_v2(&key(2));
        state.liquidity.fee_vault = to_v2(&key(3));
        let reserve = ReserveAddresses::read(&key(4), &state);
        for referrer in [None, Some(Referrer::new(key(5), &key(4)))] {
            let loan =
                FlashLoan { reserve: &reserve, borrower: key(6), token_account: key(7), referrer };
            let borrow = flash_borrow(&loan, 1_000);
            let repay = flash_repay(&loan, 1_000, 9);
            // klend compares the keys of both lists.
            assert_eq!(borrow.accounts, repay.accounts);
            assert_eq!(borrow.accounts.len(), 12);
            assert_eq!((borrow.data.len(), repay.data.len()), (16, 17));
            assert_eq!(borrow.data[8..], repay.data[8..16]);
            assert_eq!(repay.data[16], 9);
            assert_eq!(borrow.accounts[5].pubkey, key(2), "the vault the reserve names");
            let expected = referrer.map_or(PROGRAM_ID, |referrer| referrer.account);
            assert_eq!(borrow.accounts[9].pubkey, expected);
            assert_eq!(borrow.accounts[9].is_writable, referrer.is_some());
        }
    }
}
