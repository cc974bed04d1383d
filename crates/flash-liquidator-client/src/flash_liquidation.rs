//! The whole sequence of one flash liquidation, in the order klend forces:
//! borrow, refresh what the borrow made stale, liquidate, repay.

use solana_address::Address;
use solana_instruction::Instruction;

use crate::{
    compute_budget::ComputeBudget,
    klend::{
        self, FlashLoan, LiquidateAccounts, ObligationAddresses, ObligationFarms, ReserveAddresses,
    },
    receiver::{self, BuildError, FlashIndexes, Route, Terms, byte},
    token::{TOKEN_PROGRAM_ID, associated_token_account},
};

/// How reserves are refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// One `refresh_reserves_batch`: fewest bytes.
    #[default]
    Batch,
    /// A `refresh_reserve` for each.
    Each,
}

/// The keeper's token accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperAccounts {
    /// Of the debt mint: the loan arrives and is repaid here, the profit stays.
    pub debt: Address,
    /// Of the withdraw reserve's cToken mint.
    pub ctoken: Address,
    /// Of the collateral mint.
    pub collateral: Address,
}

impl KeeperAccounts {
    /// The keeper's associated token accounts.
    #[must_use]
    pub fn associated(
        keeper: &Address,
        repay: &ReserveAddresses,
        withdraw: &ReserveAddresses,
    ) -> Self {
        let liquidity = |reserve: &ReserveAddresses| {
            associated_token_account(
                keeper,
                &reserve.liquidity_mint,
                &reserve.liquidity_token_program,
            )
        };
        Self {
            debt: liquidity(repay),
            ctoken: associated_token_account(keeper, &withdraw.ctoken_mint, &TOKEN_PROGRAM_ID),
            collateral: liquidity(withdraw),
        }
    }
}

/// One flash liquidation: everything that its instructions depend on.
#[derive(Clone, Debug)]
pub struct FlashLiquidation<'a> {
    /// Signer, borrower and liquidator.
    pub keeper: Address,
    /// The keeper's token accounts ([`KeeperAccounts::associated`]).
    pub keeper_accounts: KeeperAccounts,
    /// Obligation to liquidate.
    pub obligation: &'a ObligationAddresses,
    /// Addresses of every reserve of the obligation, in any order; others are ignored.
    pub reserves: &'a [ReserveAddresses],
    /// The obligation's referrer states
    /// ([`ObligationAddresses::referrer_token_states`]).
    pub referrer_token_states: &'a [Address],
    /// Reserve of the debt to repay.
    pub repay_reserve: Address,
    /// Reserve of the collateral to seize.
    pub withdraw_reserve: Address,
    /// Reserve that lends; of the debt's mint, in any market.
    pub flash_reserve: &'a ReserveAddresses,
    /// Principal of the flash loan, debt units.
    pub flash_amount: u64,
    /// What the keeper signs for.
    pub terms: Terms,
    /// How the collateral becomes the debt token.
    pub route: Option<Route>,
    /// Compute-unit limit and price.
    pub compute_budget: ComputeBudget,
    /// Instructions before the loan: token accounts that are missing, mostly.
    pub setup: Vec<Instruction>,
    /// How reserves are refreshed.
    pub refresh: Refresh,
}

impl FlashLiquidation<'_> {
    /// The instructions, in order.
    ///
    /// # Errors
    /// [`BuildError`]: a reserve of the obligation is not among `reserves`, or
    /// something does not fit its byte.
    pub fn instructions(&self) -> Result<Vec<Instruction>, BuildError> {
        let obligation = self.obligation;
        let repay_reserve = self.reserve(&self.repay_reserve)?;
        let withdraw_reserve = self.reserve(&self.withdraw_reserve)?;
        let loan = FlashLoan {
            reserve: self.flash_reserve,
            borrower: self.keeper,
            token_account: self.keeper_accounts.debt,
            referrer: None,
        };

        let mut instructions = self.compute_budget.instructions();
        instructions.extend(self.setup.iter().cloned());
        let borrow_index = byte("instructions before the loan", instructions.len())?;
        instructions.push(klend::flash_borrow(&loan, self.flash_amount));

        let reserves = obligation
            .distinct_reserves()
            .iter()
            .map(|key| self.reserve(key))
            .collect::<Result<Vec<_>, _>>()?;
        match self.refresh {
            Refresh::Batch => instructions.push(klend::refresh_reserves_batch(reserves, false)),
            Refresh::Each => instructions.extend(reserves.into_iter().map(klend::refresh_reserve)),
        }
        instructions.push(klend::refresh_obligation(
            &obligation.lending_market,
            &obligation.obligation,
            &obligation.deposit_reserves,
            &obligation.borrow_reserves,
            self.referrer_token_states,
        ));

        let repay_index = byte("instructions up to the repay", instructions.len() + 1)?;
        instructions.push(receiver::liquidate(
            &LiquidateAccounts {
                liquidator: self.keeper,
                obligation: obligation.obligation,
                repay_reserve,
                withdraw_reserve,
                user_debt: self.keeper_accounts.debt,
                user_ctoken: self.keeper_accounts.ctoken,
                user_collateral: self.keeper_accounts.collateral,
                farms: ObligationFarms::read(
                    &obligation.obligation,
                    repay_reserve,
                    withdraw_reserve,
                ),
                deposit_reserves: obligation.liquidation_tail(),
            },
            &self.flash_reserve.reserve,
            FlashIndexes { borrow: borrow_index, repay: repay_index },
            &self.terms,
            self.route.as_ref(),
        )?);
        instructions.push(klend::flash_repay(&loan, self.flash_amount, borrow_index));
        Ok(instructions)
    }

    fn reserve(&self, key: &Address) -> Result<&ReserveAddresses, BuildError> {
        self.reserves.iter().find(|reserve| reserve.reserve == *key).ok_or(
            BuildError::ReserveMissing { obligation: self.obligation.obligation, reserve: *key },
        )
    }
}
